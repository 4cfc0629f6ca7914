//! What the pages behind mailed links say, in each language that mails are written in.

use http::{HeaderMap, header::ACCEPT_LANGUAGE};

/// The texts of one language; of three, the one at the kind's place.
#[derive(Debug)]
pub(super) struct Words {
    pub(super) lang: &'static str,
    pub(super) titles: [&'static str; 3],
    pub(super) texts: [&'static str; 3],
    pub(super) submits: [&'static str; 3],
    pub(super) done: [&'static str; 3],
    pub(super) name: &'static str,
    pub(super) password: &'static str,
    pub(super) password_hint: &'static str,
    pub(super) code: &'static str,
    pub(super) bad_link: &'static str,
    pub(super) wrong: &'static str,
    pub(super) code_needed: &'static str,
    pub(super) not_taken: &'static str,
    pub(super) busy: &'static str,
    pub(super) broken: &'static str,
}

const ENGLISH: Words = Words {
    lang: "en",
    titles: ["Accept your invitation", "Set a new password", "Confirm your address"],
    texts: [
        "If you are new here, choose a name and a password. If you have an account with this address, give its password.",
        "All your sessions end, and you log in with the new password.",
        "Confirm that this e-mail address is yours, with the password that you registered with. If you did not register, close this page.",
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
        "Bestätigen Sie mit dem Passwort Ihrer Registrierung, dass diese E-Mail-Adresse Ihnen gehört. Wenn Sie sich nicht registriert haben, schließen Sie diese Seite.",
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

/// The first language that the browser asks for and we speak, else English.
pub(super) fn words(headers: &HeaderMap) -> &'static Words {
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|languages| languages.to_str().ok()).unwrap_or_default();
    let mut asked = accepted.split(',').map(|tag| tag.trim().split(['-', ';']).next().unwrap_or_default());
    asked.find_map(|tag| ALL.into_iter().find(|words| words.lang.eq_ignore_ascii_case(tag))).unwrap_or(&ENGLISH)
}
