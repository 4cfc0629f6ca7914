//! What the page says, in each language that messages are written in.

use dropmate_api::Phase;
use jiff::{Timestamp, tz::TimeZone};

use super::view::What;

/// The texts of one language. `{…}` are put in by [`fill`].
#[derive(Debug)]
pub(super) struct Words {
    pub(super) lang: &'static str,
    pub(super) decimal: char,
    pub(super) title: &'static str,
    clock: &'static str,
    day: &'static str,
    pub(super) between: &'static str,
    pub(super) next: &'static str,
    pub(super) one_before: &'static str,
    pub(super) some_before: &'static str,
    pub(super) brings: &'static str,
    pub(super) away: &'static str,
    pub(super) old: &'static str,
    pub(super) pin: &'static str,
    pub(super) pin_hint: &'static str,
    pub(super) rating: &'static str,
    pub(super) how_was_it: &'static str,
    pub(super) one_star: &'static str,
    pub(super) stars: &'static str,
    pub(super) comment: &'static str,
    pub(super) send: &'static str,
    pub(super) thanks: &'static str,
    pub(super) choose_stars: &'static str,
    pub(super) too_long: &'static str,
    pub(super) timeline: &'static str,
    pub(super) notified: &'static str,
    pub(super) not_notified: &'static str,
    pub(super) opt_out: &'static str,
    pub(super) opt_in: &'static str,
    pub(super) gone: &'static str,
    pub(super) gone_text: &'static str,
    pub(super) throttled: &'static str,
    pub(super) throttled_text: &'static str,
    pub(super) broken: &'static str,
    pub(super) broken_text: &'static str,
    phases: [&'static str; 9],
    whats: [&'static str; 13],
}

const ENGLISH: Words = Words {
    lang: "en",
    decimal: '.',
    title: "Your delivery",
    clock: "%-I:%M %p",
    day: "%b %-d, ",
    between: "Expected between {earliest} and {latest}",
    next: "Yours is the next stop.",
    one_before: "One stop before yours.",
    some_before: "{count} stops before yours.",
    brings: "{name} brings your order.",
    away: "About {distance} away",
    old: "This position is {minutes} minutes old.",
    pin: "Your PIN",
    pin_hint: "Tell it to the driver at the door, and to nobody else.",
    rating: "Your rating",
    how_was_it: "How was the delivery?",
    one_star: "1 star",
    stars: "{count} stars",
    comment: "Comment (optional)",
    send: "Send",
    thanks: "Thank you for your rating.",
    choose_stars: "Choose one to five stars.",
    too_long: "The comment is too long: at most 2,000 characters.",
    timeline: "What happened so far",
    notified: "You are sent messages about this delivery.",
    not_notified: "You are sent no messages about this delivery.",
    opt_out: "Send me no more messages",
    opt_in: "Send me messages again",
    gone: "This link leads nowhere",
    gone_text: "It may have been taken back, or the delivery was over some time ago. If you expect one, ask the shop.",
    throttled: "Too many tries",
    throttled_text: "Wait a moment, then load the page again.",
    broken: "This does not work at the moment",
    broken_text: "Try again in a minute. Your delivery goes on.",
    phases: [
        "We have your order",
        "A driver is on the way to fetch your order",
        "Your order is being fetched",
        "Your order is on its way",
        "The driver is at your door",
        "We could not hand over your order",
        "Your order goes back to the sender",
        "Delivered",
        "This delivery has ended",
    ],
    whats: [
        "Ordered",
        "Driver found",
        "Driver at the pickup",
        "Picked up",
        "Out for delivery",
        "Driver at the door",
        "Could not be handed over",
        "On the way back",
        "Delivered",
        "Returned to the sender",
        "Cancelled",
        "Not delivered",
        "Expired",
    ],
};

const GERMAN: Words = Words {
    lang: "de",
    decimal: ',',
    title: "Ihre Lieferung",
    clock: "%H:%M",
    day: "%-d.%-m. ",
    between: "Erwartet zwischen {earliest} und {latest} Uhr",
    next: "Sie sind als Nächstes an der Reihe.",
    one_before: "Noch ein Halt vor Ihrem.",
    some_before: "Noch {count} Halte vor Ihrem.",
    brings: "{name} bringt Ihre Bestellung.",
    away: "Etwa {distance} entfernt",
    old: "Diese Position ist {minutes} Minuten alt.",
    pin: "Ihre PIN",
    pin_hint: "Nennen Sie sie an der Tür dem Fahrer, und sonst niemandem.",
    rating: "Ihre Bewertung",
    how_was_it: "Wie war die Lieferung?",
    one_star: "1 Stern",
    stars: "{count} Sterne",
    comment: "Kommentar (freiwillig)",
    send: "Senden",
    thanks: "Danke für Ihre Bewertung.",
    choose_stars: "Wählen Sie einen bis fünf Sterne.",
    too_long: "Der Kommentar ist zu lang: höchstens 2.000 Zeichen.",
    timeline: "Was bisher geschah",
    notified: "Sie erhalten Nachrichten zu dieser Lieferung.",
    not_notified: "Sie erhalten keine Nachrichten zu dieser Lieferung.",
    opt_out: "Keine Nachrichten mehr senden",
    opt_in: "Wieder Nachrichten senden",
    gone: "Dieser Link führt nirgendwohin",
    gone_text: "Er wurde vielleicht zurückgenommen, oder die Lieferung ist seit einiger Zeit vorbei. Wenn Sie eine erwarten, fragen Sie im Geschäft nach.",
    throttled: "Zu viele Versuche",
    throttled_text: "Warten Sie einen Augenblick und laden Sie die Seite neu.",
    broken: "Das geht im Augenblick nicht",
    broken_text: "Versuchen Sie es in einer Minute wieder. Ihre Lieferung geht weiter.",
    phases: [
        "Wir haben Ihre Bestellung",
        "Ihre Bestellung wird bald abgeholt",
        "Ihre Bestellung wird gerade abgeholt",
        "Ihre Bestellung ist unterwegs",
        "Der Fahrer steht vor Ihrer Tür",
        "Wir konnten Ihre Bestellung nicht übergeben",
        "Ihre Bestellung geht zurück an den Absender",
        "Zugestellt",
        "Diese Lieferung ist beendet",
    ],
    whats: [
        "Bestellt",
        "Fahrer gefunden",
        "Fahrer an der Abholstelle",
        "Abgeholt",
        "In Zustellung",
        "Fahrer an der Tür",
        "Übergabe nicht möglich",
        "Auf dem Rückweg",
        "Zugestellt",
        "Zurück beim Absender",
        "Storniert",
        "Nicht zugestellt",
        "Verfallen",
    ],
};

const FRENCH: Words = Words {
    lang: "fr",
    decimal: ',',
    title: "Votre livraison",
    clock: "%H:%M",
    day: "%d/%m ",
    between: "Prévue entre {earliest} et {latest}",
    next: "Vous êtes le prochain arrêt.",
    one_before: "Un arrêt avant le vôtre.",
    some_before: "{count} arrêts avant le vôtre.",
    brings: "{name} apporte votre commande.",
    away: "À environ {distance}",
    old: "Cette position date de {minutes} minutes.",
    pin: "Votre code PIN",
    pin_hint: "Donnez-le au livreur à la porte, et à personne d’autre.",
    rating: "Votre avis",
    how_was_it: "Comment s’est passée la livraison ?",
    one_star: "1 étoile",
    stars: "{count} étoiles",
    comment: "Commentaire (facultatif)",
    send: "Envoyer",
    thanks: "Merci pour votre avis.",
    choose_stars: "Choisissez de une à cinq étoiles.",
    too_long: "Le commentaire est trop long : 2 000 caractères au plus.",
    timeline: "Ce qui s’est passé",
    notified: "Vous recevez des messages sur cette livraison.",
    not_notified: "Vous ne recevez pas de messages sur cette livraison.",
    opt_out: "Ne plus m’envoyer de messages",
    opt_in: "M’envoyer de nouveau des messages",
    gone: "Ce lien ne mène nulle part",
    gone_text: "Il a peut-être été retiré, ou la livraison est terminée depuis quelque temps. Si vous en attendez une, demandez au commerce.",
    throttled: "Trop d’essais",
    throttled_text: "Attendez un instant, puis rechargez la page.",
    broken: "Cela ne fonctionne pas pour le moment",
    broken_text: "Réessayez dans une minute. Votre livraison continue.",
    phases: [
        "Nous avons votre commande",
        "Un livreur va chercher votre commande",
        "Votre commande est en cours de retrait",
        "Votre commande est en route",
        "Le livreur est à votre porte",
        "Nous n’avons pas pu remettre votre commande",
        "Votre commande retourne à l’expéditeur",
        "Livrée",
        "Cette livraison est terminée",
    ],
    whats: [
        "Commandée",
        "Livreur trouvé",
        "Livreur au point de retrait",
        "Retirée",
        "En cours de livraison",
        "Livreur à la porte",
        "Remise impossible",
        "En retour",
        "Livrée",
        "Retournée à l’expéditeur",
        "Annulée",
        "Non livrée",
        "Expirée",
    ],
};

const SPANISH: Words = Words {
    lang: "es",
    decimal: ',',
    title: "Su entrega",
    clock: "%H:%M",
    day: "%-d/%-m ",
    between: "Prevista entre las {earliest} y las {latest}",
    next: "La suya es la próxima parada.",
    one_before: "Una parada antes de la suya.",
    some_before: "{count} paradas antes de la suya.",
    brings: "{name} lleva su pedido.",
    away: "A unos {distance}",
    old: "Esta posición es de hace {minutes} minutos.",
    pin: "Su PIN",
    pin_hint: "Dígaselo al repartidor en la puerta, y a nadie más.",
    rating: "Su valoración",
    how_was_it: "¿Cómo fue la entrega?",
    one_star: "1 estrella",
    stars: "{count} estrellas",
    comment: "Comentario (opcional)",
    send: "Enviar",
    thanks: "Gracias por su valoración.",
    choose_stars: "Elija de una a cinco estrellas.",
    too_long: "El comentario es demasiado largo: 2.000 caracteres como máximo.",
    timeline: "Lo ocurrido hasta ahora",
    notified: "Recibe mensajes sobre esta entrega.",
    not_notified: "No recibe mensajes sobre esta entrega.",
    opt_out: "No enviarme más mensajes",
    opt_in: "Volver a enviarme mensajes",
    gone: "Este enlace no lleva a ninguna parte",
    gone_text: "Puede que se haya retirado, o que la entrega terminara hace tiempo. Si espera una, pregunte en la tienda.",
    throttled: "Demasiados intentos",
    throttled_text: "Espere un momento y vuelva a cargar la página.",
    broken: "Ahora mismo no funciona",
    broken_text: "Inténtelo de nuevo en un minuto. Su entrega sigue en marcha.",
    phases: [
        "Tenemos su pedido",
        "Un repartidor va a recoger su pedido",
        "Se está recogiendo su pedido",
        "Su pedido está en camino",
        "El repartidor está en su puerta",
        "No pudimos entregar su pedido",
        "Su pedido vuelve al remitente",
        "Entregado",
        "Esta entrega ha terminado",
    ],
    whats: [
        "Pedido hecho",
        "Repartidor encontrado",
        "Repartidor en la recogida",
        "Recogido",
        "En reparto",
        "Repartidor en la puerta",
        "No se pudo entregar",
        "De vuelta",
        "Entregado",
        "Devuelto al remitente",
        "Cancelado",
        "No entregado",
        "Caducado",
    ],
};

const ALL: [&Words; 4] = [&ENGLISH, &GERMAN, &FRENCH, &SPANISH];

/// The language of the recipient, as the order says, else the first that the browser asks for, else English.
pub(super) fn words(locale: Option<&str>, accepted: &str) -> &'static Words {
    let asked = accepted.split(',').filter_map(|language| language.split(';').next());
    let of = |tag: &str| {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_ascii_lowercase();
        ALL.into_iter().find(|words| words.lang == primary)
    };
    locale.into_iter().chain(asked).find_map(of).unwrap_or(&ENGLISH)
}

/// Puts values in the place of their names. What is put in is data: no name in it counts.
pub(super) fn fill(text: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            rest = after;
            break;
        };
        if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
            filled.push_str(value);
        }
        rest = after;
    }
    filled.push_str(rest);
    filled
}

impl Words {
    /// The headline of a phase.
    pub(super) fn phase(&self, phase: Phase) -> &'static str {
        let number = match phase {
            Phase::Pending | Phase::Scheduled | Phase::Ready | Phase::Offered => 0,
            Phase::Assigned | Phase::EnRouteToPickup => 1,
            Phase::AtPickup => 2,
            Phase::OutForDelivery => 3,
            Phase::AtDropoff => 4,
            Phase::AttemptFailed => 5,
            Phase::Returning => 6,
            Phase::Delivered => 7,
            Phase::Returned | Phase::Cancelled | Phase::Failed | Phase::Expired => 8,
        };
        self.phases[number]
    }

    /// What happened.
    pub(super) fn what(&self, what: What) -> &'static str {
        self.whats[what as usize]
    }

    /// A time of day, with the day where it is another one.
    pub(super) fn time(&self, at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
        let (at, now) = (at.to_zoned(zone.clone()), now.to_zoned(zone.clone()));
        let day = if at.date() == now.date() { String::new() } else { at.strftime(self.day).to_string() };
        format!("{day}{}", at.strftime(self.clock))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some("de-AT"), "fr", "de")]
    #[case(Some("pt-BR"), "fr-CA,en;q=0.5", "fr")]
    #[case(None, "ES;q=0.9", "es")]
    #[case(None, "", "en")]
    #[case(None, "*, xx", "en")]
    fn the_recipient_s_language_counts_then_the_browser_s(
        #[case] locale: Option<&str>,
        #[case] accepted: &str,
        #[case] lang: &str,
    ) {
        assert_eq!(words(locale, accepted).lang, lang);
    }

    #[test]
    fn what_is_put_in_is_data() {
        assert_eq!(fill("{name} brings {what}.", &[("name", "{what}"), ("what", "it")]), "{what} brings it.");
        assert_eq!(fill("a { b", &[]), "a  b");
    }

    #[test]
    fn a_time_is_local_and_tells_the_day_where_it_is_another() {
        let zone = TimeZone::get("America/Toronto").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2027-01-04T20:00:00Z");
        assert_eq!(ENGLISH.time(at("2027-01-04T20:05:00Z"), now, &zone), "3:05 PM");
        assert_eq!(GERMAN.time(at("2027-01-04T20:05:00Z"), now, &zone), "15:05");
        assert_eq!(GERMAN.time(at("2027-01-05T04:59:00Z"), now, &zone), "23:59");
        assert_eq!(GERMAN.time(at("2027-01-05T05:05:00Z"), now, &zone), "5.1. 00:05");
        assert_eq!(ENGLISH.time(at("2027-01-03T15:05:00Z"), now, &zone), "Jan 3, 10:05 AM");
    }

    #[test]
    fn every_language_says_everything_and_names_the_same_values() {
        let names = |text: &str| -> Vec<String> {
            let mut names: Vec<String> =
                text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
            names.sort();
            names
        };
        for words in ALL {
            assert!(words.phases.iter().chain(&words.whats).all(|text| !text.is_empty()), "{}", words.lang);
            for (mine, english) in [
                (words.between, ENGLISH.between),
                (words.some_before, ENGLISH.some_before),
                (words.brings, ENGLISH.brings),
                (words.away, ENGLISH.away),
                (words.old, ENGLISH.old),
                (words.stars, ENGLISH.stars),
            ] {
                assert_eq!(names(mine), names(english), "{}: {mine}", words.lang);
            }
        }
    }
}
