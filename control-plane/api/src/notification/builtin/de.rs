//! German.

use super::{Labels, Language, Words};

pub(super) const WORDS: Language = Language {
    code: "de",
    colon: ":",
    hello: "Guten Tag {{ order.recipient.name }},",
    recipient: [
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} ist vergeben",
            lead: "{% if driver.name %}{{ driver.name }}{% else %}Ein Kurier{% endif %} bringt Ihre Bestellung\
                   {% if order.eta %}, voraussichtlich gegen {{ order.eta }}{% endif %}.",
            button: "Bestellung verfolgen",
            sms: "{{ shop.name[:30] }}: {% if driver.name %}{{ driver.name[:20] }}{% else %}Ein Kurier{% endif %} bringt Ihre Bestellung\
                  {% if order.eta %}, gegen {{ order.eta }}{% endif %}. {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} ist unterwegs",
            lead: "Ihre Bestellung ist unterwegs\
                   {% if order.eta %} und kommt voraussichtlich gegen {{ order.eta }}{% endif %}.",
            button: "Bestellung verfolgen",
            sms: "{{ shop.name[:30] }}: Ihre Bestellung ist unterwegs{% if order.eta %}, voraussichtlich gegen {{ order.eta }}{% endif %}.\
                  {% if pin %} PIN für den Kurier: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} ist gleich da",
            lead: "Ihre Bestellung ist gleich da\
                   {% if order.eta %}, gegen {{ order.eta }}{% endif %}. Bitte halten Sie sich bereit.",
            button: "Bestellung verfolgen",
            sms: "{{ shop.name[:30] }}: Ihre Bestellung ist gleich da{% if order.eta %}, gegen {{ order.eta }}{% endif %}.\
                  {% if pin %} PIN für den Kurier: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} ist zugestellt",
            lead: "Ihre Bestellung wurde zugestellt{% if order.delivered %} ({{ order.delivered }}){% endif %}. \
                   Viel Freude damit, und sagen Sie uns, wie es war.",
            button: "Zustellung ansehen und bewerten",
            sms: "{{ shop.name[:30] }}: Ihre Bestellung wurde zugestellt. Wie war es? {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} konnte nicht zugestellt werden",
            lead: "Wir wollten Ihre Bestellung zustellen und konnten sie nicht übergeben. Wir melden uns, wie es weitergeht.",
            button: "So geht es weiter",
            sms: "{{ shop.name[:30] }}: Wir konnten Ihre Bestellung nicht übergeben.\
                  {% if shop.phone %} Rufen Sie uns an: {{ shop.phone }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: Ihre Bestellung {{ order.name }} verspätet sich",
            lead: "Es tut uns leid: Ihre Bestellung verspätet sich\
                   {% if order.eta %} und kommt nun voraussichtlich gegen {{ order.eta }}{% endif %}.",
            button: "Bestellung verfolgen",
            sms: "{{ shop.name[:30] }}: Ihre Bestellung verspätet sich leider\
                  {% if order.eta %}, nun voraussichtlich gegen {{ order.eta }}{% endif %}. {{ trackingUrl }}",
        },
    ],
    staff: Words {
        subject: "{{ title }}: {{ order.name }}",
        lead: "{{ title }}.",
        button: "",
        sms: "{{ title }}: {{ order.name[:60] }}, {{ order.pickup.address[:60] }} > {{ order.dropoff.address[:60] }}\
              {% if attempt.reason %} ({{ attempt.reason[:60] }}){% endif %}",
    },
    titles: &[
        ("order.created", "Auftrag angelegt"),
        ("order.updated", "Auftrag geändert"),
        ("order.ready", "Auftrag bereit für einen Fahrer"),
        ("order.offered", "Auftrag angeboten"),
        ("order.offer_declined", "Angebot abgelehnt"),
        ("order.offer_expired", "Angebot ohne Antwort"),
        ("order.assigned", "Fahrer zugewiesen"),
        ("order.unassigned", "Fahrer abgezogen"),
        ("order.unassignable", "Kein Fahrer zu finden"),
        ("order.pickup_enroute", "Unterwegs zur Abholung"),
        ("order.pickup_arrived", "Fahrer bei der Abholung"),
        ("order.picked_up", "Auftrag abgeholt"),
        ("order.out_for_delivery", "Unterwegs zur Zustellung"),
        ("order.arriving", "Ankunft in Kürze"),
        ("order.dropoff_arrived", "Fahrer an der Tür"),
        ("order.delivered", "Auftrag zugestellt"),
        ("order.attempt_failed", "Zustellversuch gescheitert"),
        ("order.return_started", "Auf dem Rückweg"),
        ("order.returned", "Auftrag zurückgebracht"),
        ("order.cancelled", "Auftrag storniert"),
        ("order.expired", "Auftrag verfallen"),
        ("order.delayed", "Auftrag verspätet"),
        ("order.eta_changed", "Neue Ankunftszeit"),
        ("order.deleted", "Auftrag gelöscht"),
        ("delivery.updated", "Neues zur Zustellung"),
        ("notification.failed", "Kunde nicht erreicht"),
    ],
    labels: Labels {
        pin: "PIN für den Kurier:",
        order: "Bestellung",
        items: "Artikel",
        more: "und {} weitere",
        to: "An",
        from: "Von",
        recipient: "Für",
        due: "Zugesagt",
        eta: "Erwartet",
        driver: "Kurier",
        reason: "Grund",
        contact: "Fragen?",
    },
    invitation: Words {
        subject: "Einladung zu {{ namespace }} in DropMate",
        lead: "{% if by %}{{ by }} lädt Sie ein{% else %}Sie sind eingeladen{% endif %}: {{ namespace }}\
               {% if role %}, als {{ role }}{% endif %}.",
        button: "Einladung annehmen",
        sms: "",
    },
    reset: Words {
        subject: "Ein neues Passwort für DropMate",
        lead: "Jemand hat für diese Adresse ein neues Passwort angefordert.",
        button: "Neues Passwort wählen",
        sms: "",
    },
    verification: Words {
        subject: "Bestätigen Sie Ihre Adresse für DropMate",
        lead: "Bitte bestätigen Sie, dass diese Adresse Ihre ist.",
        button: "Adresse bestätigen",
        sms: "",
    },
    expires: "Der Link gilt einmal, bis {{ expires }}.",
    unasked: "Wenn Sie damit nicht gerechnet haben, tun Sie nichts: Ohne den Link geschieht nichts.",
    roles: &[
        ("manager", "Leitung"),
        ("dispatcher", "Disposition"),
        ("driver", "Fahrer"),
        ("customer", "Kunde"),
        ("viewer", "Beobachter"),
    ],
};
