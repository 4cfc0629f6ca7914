//! The pages that the links in mails lead to: to accept an invitation, to set another password, to show that an address is
//! one's own. Plain forms without a script. Nothing happens before the form is sent: programs that look into mails follow
//! links.

use askama::Template;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::get,
};
use dropmate_identity::{Error, Proof};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    },
};

use super::{
    answer::said,
    door::{Address, ip},
    identity,
};
use crate::{
    error::{ApiError, Result},
    form_body::{self, Form},
    members,
    state::AppState,
    track,
};

/// Where they are: `/invitations/TOKEN` and so on.
pub(crate) const ROOTS: [&str; 3] = ["/invitations/", "/resets/", "/verifications/"];
/// What a page may do: show itself, and send its form back.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Invitation,
    Reset,
    Verification,
}

/// The texts of one language; of three, the one at the kind's place.
#[derive(Debug)]
struct Words {
    lang: &'static str,
    titles: [&'static str; 3],
    texts: [&'static str; 3],
    submits: [&'static str; 3],
    done: [&'static str; 3],
    name: &'static str,
    password: &'static str,
    password_hint: &'static str,
    code: &'static str,
    bad_link: &'static str,
    wrong: &'static str,
    code_needed: &'static str,
    not_taken: &'static str,
    busy: &'static str,
    broken: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    titles: ["Accept your invitation", "Set a new password", "Confirm your address"],
    texts: [
        "If you are new here, choose a name and a password. If you have an account with this address, give its password.",
        "All your sessions end, and you log in with the new password.",
        "Confirm that this e-mail address is yours. If you did not register, close this page.",
    ],
    submits: ["Accept", "Set password", "Confirm"],
    done: [
        "You are in. You can log in now.",
        "Your password is set. You can log in now.",
        "Your address is confirmed.",
    ],
    name: "Your name (if you are new)",
    password: "Password",
    password_hint: "At least 15 characters: a few words that do not belong together.",
    code: "Code of your second factor (if you have one)",
    bad_link: "This link is not good any more: it was used or replaced, or has expired. Ask for a new one.",
    wrong: "The password or the code is wrong.",
    code_needed: "The code of your second factor is needed.",
    not_taken: "This cannot be taken: ",
    busy: "Too many tries. Wait a moment and try again.",
    broken: "This does not work at the moment. Try again in a minute.",
};

const GERMAN: Words = Words {
    lang: "de",
    titles: ["Einladung annehmen", "Neues Passwort setzen", "Adresse bestätigen"],
    texts: [
        "Wenn Sie neu hier sind, wählen Sie einen Namen und ein Passwort. Wenn Sie mit dieser Adresse ein Konto haben, geben Sie dessen Passwort an.",
        "Alle Ihre Sitzungen enden, und Sie melden sich mit dem neuen Passwort an.",
        "Bestätigen Sie, dass diese E-Mail-Adresse Ihnen gehört. Wenn Sie sich nicht registriert haben, schließen Sie diese Seite.",
    ],
    submits: ["Annehmen", "Passwort setzen", "Bestätigen"],
    done: [
        "Sie sind dabei und können sich jetzt anmelden.",
        "Ihr Passwort ist gesetzt. Sie können sich jetzt anmelden.",
        "Ihre Adresse ist bestätigt.",
    ],
    name: "Ihr Name (wenn Sie neu sind)",
    password: "Passwort",
    password_hint: "Mindestens 15 Zeichen: ein paar Wörter, die nicht zusammengehören.",
    code: "Code Ihres zweiten Faktors (wenn Sie einen haben)",
    bad_link: "Dieser Link gilt nicht mehr: Er wurde benutzt oder ersetzt, oder er ist abgelaufen. Fordern Sie einen neuen an.",
    wrong: "Das Passwort oder der Code ist falsch.",
    code_needed: "Der Code Ihres zweiten Faktors wird gebraucht.",
    not_taken: "Das kann nicht angenommen werden: ",
    busy: "Zu viele Versuche. Warten Sie einen Augenblick und versuchen Sie es wieder.",
    broken: "Das geht im Augenblick nicht. Versuchen Sie es in einer Minute wieder.",
};

const FRENCH: Words = Words {
    lang: "fr",
    titles: ["Accepter votre invitation", "Choisir un nouveau mot de passe", "Confirmer votre adresse"],
    texts: [
        "Si vous êtes nouveau ici, choisissez un nom et un mot de passe. Si vous avez un compte avec cette adresse, donnez son mot de passe.",
        "Toutes vos sessions prennent fin, et vous vous connectez avec le nouveau mot de passe.",
        "Confirmez que cette adresse est la vôtre. Si vous ne vous êtes pas inscrit, fermez cette page.",
    ],
    submits: ["Accepter", "Enregistrer", "Confirmer"],
    done: [
        "C’est fait. Vous pouvez vous connecter.",
        "Votre mot de passe est enregistré. Vous pouvez vous connecter.",
        "Votre adresse est confirmée.",
    ],
    name: "Votre nom (si vous êtes nouveau)",
    password: "Mot de passe",
    password_hint: "Au moins 15 caractères : quelques mots sans rapport entre eux.",
    code: "Code de votre second facteur (si vous en avez un)",
    bad_link: "Ce lien n’est plus valable : il a été utilisé ou remplacé, ou a expiré. Demandez-en un nouveau.",
    wrong: "Le mot de passe ou le code est faux.",
    code_needed: "Le code de votre second facteur est nécessaire.",
    not_taken: "Cela ne peut pas être accepté : ",
    busy: "Trop d’essais. Attendez un instant et réessayez.",
    broken: "Cela ne fonctionne pas pour le moment. Réessayez dans une minute.",
};

const SPANISH: Words = Words {
    lang: "es",
    titles: ["Aceptar su invitación", "Elegir una contraseña nueva", "Confirmar su dirección"],
    texts: [
        "Si es nuevo aquí, elija un nombre y una contraseña. Si tiene una cuenta con esta dirección, dé su contraseña.",
        "Todas sus sesiones terminan, y entra con la contraseña nueva.",
        "Confirme que esta dirección de correo es suya. Si no se ha registrado, cierre esta página.",
    ],
    submits: ["Aceptar", "Guardar", "Confirmar"],
    done: [
        "Ya está dentro. Ya puede iniciar sesión.",
        "Su contraseña está guardada. Ya puede iniciar sesión.",
        "Su dirección está confirmada.",
    ],
    name: "Su nombre (si es nuevo)",
    password: "Contraseña",
    password_hint: "Al menos 15 caracteres: unas palabras sin relación entre sí.",
    code: "Código de su segundo factor (si lo tiene)",
    bad_link: "Este enlace ya no vale: se ha usado o sustituido, o ha caducado. Pida uno nuevo.",
    wrong: "La contraseña o el código no es correcto.",
    code_needed: "Hace falta el código de su segundo factor.",
    not_taken: "No se puede aceptar: ",
    busy: "Demasiados intentos. Espere un momento e inténtelo de nuevo.",
    broken: "Ahora mismo no funciona. Inténtelo de nuevo en un minuto.",
};

const ALL: [&Words; 4] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH];

fn words(headers: &HeaderMap) -> &'static Words {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok()).unwrap_or_default();
    let mut asked = accepted.split(',').map(|tag| tag.trim().split(['-', ';']).next().unwrap_or_default());
    asked.find_map(|tag| ALL.into_iter().find(|words| words.lang.eq_ignore_ascii_case(tag))).unwrap_or(&ENGLISH)
}

#[derive(Template)]
#[template(path = "account.html")]
struct Page<'a> {
    words: &'a Words,
    version: &'a str,
    title: &'a str,
    text: &'a str,
    submit: &'a str,
    problem: Option<String>,
    done: Option<&'a str>,
    asks_name: bool,
    asks_password: bool,
    asks_code: bool,
}

/// The pages.
pub(crate) fn routes(state: AppState) -> Router {
    macro_rules! page {
        ($kind:ident) => {
            get(async |headers: HeaderMap| show(Kind::$kind, &headers)).post(
                async |State(state): State<AppState>,
                       address: Address,
                       Path(token): Path<String>,
                       headers: HeaderMap,
                       body: Bytes| { sent(&state, Kind::$kind, address, &token, &headers, &body).await },
            )
        };
    }
    Router::new()
        .route("/invitations/{token}", page!(Invitation))
        .route("/resets/{token}", page!(Reset))
        .route("/verifications/{token}", page!(Verification))
        .with_state(state)
}

fn show(kind: Kind, headers: &HeaderMap) -> Response {
    written(kind, words(headers), StatusCode::OK, None, false)
}

fn written(kind: Kind, words: &Words, code: StatusCode, problem: Option<String>, done: bool) -> Response {
    let at = kind as usize;
    let page = Page {
        words,
        version: track::files_version(),
        title: words.titles[at],
        text: words.texts[at],
        submit: words.submits[at],
        problem,
        done: done.then_some(words.done[at]),
        asks_name: kind == Kind::Invitation,
        asks_password: kind != Kind::Verification,
        asks_code: kind == Kind::Invitation,
    };
    let head = [
        (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (HeaderName::from_static("x-robots-tag"), HeaderValue::from_static("noindex, nofollow")),
    ];
    // The template is checked when it is compiled, and writes into memory.
    (code, head, page.render().unwrap_or_default()).into_response()
}

async fn sent(
    state: &AppState,
    kind: Kind,
    address: Address,
    token: &str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Response {
    let words = words(headers);
    let outcome = match form_body::read(headers, body) {
        Ok(form) => act(state, kind, address, token, &form).await,
        Err(error) => Err(Refused::Answer(error)),
    };
    let (code, problem) = match outcome {
        Ok(()) => return written(kind, words, StatusCode::OK, None, true),
        Err(Refused::Identity(error)) => {
            let problem = match &error {
                Error::BadLink => words.bad_link.to_owned(),
                Error::Credentials => words.wrong.to_owned(),
                Error::SecondFactor => words.code_needed.to_owned(),
                Error::Invalid { field, why } => format!("{}{field} {why}", words.not_taken),
                Error::Throttled(_) | Error::Busy => words.busy.to_owned(),
                _ => words.broken.to_owned(),
            };
            (said(error).code(), problem)
        }
        // The Member went, or was made anew.
        Err(Refused::Answer(error)) if error.code() == StatusCode::CONFLICT => {
            (StatusCode::CONFLICT, words.bad_link.to_owned())
        }
        Err(Refused::Answer(error)) => (error.code(), words.broken.to_owned()),
    };
    written(kind, words, code, Some(problem), false)
}

enum Refused {
    Identity(Error),
    Answer(ApiError),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Identity(error)
    }
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self::Answer(error)
    }
}

async fn act(state: &AppState, kind: Kind, address: Address, token: &str, form: &Form) -> Result<(), Refused> {
    let identity = identity(state)?;
    let password = form_body::field(form, "password").unwrap_or_default();
    match kind {
        Kind::Invitation => {
            let totp = form_body::field(form, "totp").filter(|code| !code.trim().is_empty());
            let name = form_body::field(form, "name").unwrap_or_default();
            let invited = identity.invitation(token).await?;
            let proof =
                Proof { email: &invited.email, password: &password, totp: totp.as_deref(), address: ip(address) };
            let user = identity.join(proof, &name).await?;
            // Before the link is used up: if the store is away, the same form works later.
            members::accept(state, &invited.namespace, &invited.member, &invited.member_uid, &user.uid).await?;
            identity.use_invitation(token).await?;
            tracing::info!(namespace = invited.namespace, user.uid = user.uid, "an invitation was accepted");
        }
        Kind::Reset => {
            let user = identity.reset(token, &password).await?;
            tracing::info!(user.uid = user.uid, "a password was reset");
        }
        Kind::Verification => {
            let user = identity.verify_email(token).await?;
            tracing::info!(user.uid = user.uid, "an address was verified");
        }
    }
    Ok(())
}
