//! The first callers: the agents' tokens, the operator's inside its kubeconfig, and the file by which servers know them.

use anyhow::Context;
use dropmate_api::roles::Role;

use super::{Fate, Pieces};
use crate::{
    edge::KUBECONFIG,
    folder::Folder,
    kubeconfig,
    tokens::{FIRST_CALLERS, line, new_token, token_file},
};

const CSV: &str = "tokens.csv";
const AGENTS: &str = "agents";

/// Makes what is missing. A token file that is there is only added to: whose line was taken out of it stays out.
pub(super) fn make_missing(folder: &Folder, server: &str, ca_pem: &str, pieces: &mut Pieces) -> anyhow::Result<()> {
    let agents = folder.folder(AGENTS);
    let said = match folder.read(KUBECONFIG)? {
        None => None,
        Some(text) => Some(kubeconfig::read(&text).with_context(|| {
            let path = folder.join(KUBECONFIG);
            format!("{} is not as it was made; remove it for a new one", path.display())
        })?),
    };
    let mut callers = Vec::new();
    for (name, role) in FIRST_CALLERS {
        let known = match role {
            Role::Operator => said.as_ref().map(|said| said.token.clone()),
            _ => agents.read(&token_file(name))?,
        };
        let is_new = known.is_none();
        callers.push((name, role, known.map_or_else(new_token, Ok)?, is_new));
    }
    let hand_out = || -> anyhow::Result<()> {
        for (name, role, token, is_new) in &callers {
            match role {
                Role::Operator => {
                    let wanted =
                        kubeconfig::Said { server: server.to_owned(), ca_pem: ca_pem.to_owned(), token: token.clone() };
                    if said.as_ref() != Some(&wanted) {
                        folder.write(KUBECONFIG, &kubeconfig::render(server, ca_pem, token))?;
                    }
                }
                _ if *is_new => agents.write(&token_file(name), token)?,
                _ => {}
            }
        }
        Ok(())
    };
    let lines = |only_new: bool| -> String {
        let wanted = callers.iter().filter(|(.., is_new)| *is_new || !only_new);
        wanted.map(|(_, role, token, _)| line(token, *role)).collect()
    };
    let fate = match folder.read(CSV)? {
        // Interrupted before the end, the next run goes on with the tokens it finds.
        None => {
            hand_out()?;
            folder.write(CSV, &lines(false))?;
            Fate::Made
        }
        // Interrupted in between, there is a line for a token that nobody has.
        Some(before) if callers.iter().any(|(.., is_new)| *is_new) => {
            let separator = if before.ends_with('\n') { "" } else { "\n" };
            folder.write(CSV, &format!("{before}{separator}{}", lines(true)))?;
            hand_out()?;
            Fate::MadeAnew("callers were added".to_owned())
        }
        Some(_) => {
            hand_out()?;
            Fate::Kept
        }
    };
    pieces.add(CSV, fate)?;
    pieces.add(
        KUBECONFIG,
        match &said {
            None => Fate::Made,
            Some(said) if said.server != server => Fate::MadeAnew(format!("it was for {}", said.server)),
            Some(said) if said.ca_pem != ca_pem => Fate::MadeAnew("it trusted another authority".to_owned()),
            Some(_) => Fate::Kept,
        },
    )?;
    folder.own(agents.path())?;
    for (name, _, _, is_new) in callers.iter().filter(|(_, role, ..)| *role != Role::Operator) {
        pieces.add(&format!("{AGENTS}/{}", token_file(name)), Fate::new(!is_new))?;
    }
    Ok(())
}
