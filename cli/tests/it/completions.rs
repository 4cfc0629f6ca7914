use std::process::Command;

use crate::support::{dropmate, run};

#[test]
fn bash_takes_the_completions_and_completes_commands_and_flags() {
    let script = run(dropmate().args(["completions", "bash"])).with_code(0).out;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("dropmate.bash");
    std::fs::write(&path, script).unwrap();
    run(Command::new("bash").arg("-n").arg(&path)).with_code(0);

    // As bash calls it: the command, the word under the cursor, the word before it.
    let completed = |words: &[&str]| {
        let [.., before, word] = words else { unreachable!("a command and a word") };
        let line = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _dropmate dropmate {word} {before}; echo ${{COMPREPLY[@]}}",
            path.display(),
            words.join(" "),
            words.len() - 1
        );
        run(Command::new("bash").args(["--norc", "-c", &line])).with_code(0).out
    };
    assert_eq!(completed(&["dropmate", "co"]), "cordon convert completions\n");
    assert_eq!(completed(&["dropmate", "drain", "--tim"]), "--timeout\n");
}

#[test]
fn every_shell_gets_its_own_and_an_unknown_one_the_names_of_those_there_are() {
    for (shell, sign) in [
        ("zsh", "#compdef dropmate"),
        ("fish", "complete -c dropmate"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let out = run(dropmate().args(["completions", shell])).with_code(0).out;
        assert!(out.contains(sign) && out.contains("cordon"), "{shell}: {out}");
    }
    let refused = run(dropmate().args(["completions", "tcsh"])).with_code(2);
    assert!(refused.err.contains("bash, elvish, fish, powershell, zsh"), "{}", refused.err);
}
