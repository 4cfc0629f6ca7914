//! French. In SMS without ê, ç and their like, which are not in the small alphabet.

use super::{Labels, Language, Words};

pub(super) const WORDS: Language = Language {
    code: "fr",
    colon: " :",
    hello: "Bonjour {{ order.recipient.name }},",
    recipient: [
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} a un livreur",
            lead: "{% if driver.name %}{{ driver.name }}{% else %}Un livreur{% endif %} vous apporte votre commande\
                   {% if order.eta %} (arrivée prévue : {{ order.eta }}){% endif %}.",
            button: "Suivre la commande",
            sms: "{{ shop.name[:30] }} : {% if driver.name %}{{ driver.name[:20] }}{% else %}un livreur{% endif %} vous apporte votre commande\
                  {% if order.eta %} ({{ order.eta }} environ){% endif %}. {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} est en route",
            lead: "Votre commande est en route\
                   {% if order.eta %} (arrivée prévue : {{ order.eta }}){% endif %}.",
            button: "Suivre la commande",
            sms: "{{ shop.name[:30] }} : votre commande est en route{% if order.eta %} (arrivée prévue : {{ order.eta }}){% endif %}.\
                  {% if pin %} PIN pour le livreur : {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} arrive",
            lead: "Votre commande arrive dans un instant\
                   {% if order.eta %} ({{ order.eta }} environ){% endif %}. Merci de vous tenir à la porte.",
            button: "Suivre la commande",
            sms: "{{ shop.name[:30] }} : votre commande arrive dans un instant{% if order.eta %} ({{ order.eta }} environ){% endif %}.\
                  {% if pin %} PIN pour le livreur : {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} est livrée",
            lead: "Votre commande a été livrée{% if order.delivered %} ({{ order.delivered }}){% endif %}. \
                   Dites-nous comment cela s'est passé.",
            button: "Voir et noter la livraison",
            sms: "{{ shop.name[:30] }} : votre commande a été livrée. Donnez votre avis : {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} n'a pas pu être livrée",
            lead: "Nous avons voulu livrer votre commande et n'avons pas pu la remettre. Nous vous dirons la suite.",
            button: "Voir la suite",
            sms: "{{ shop.name[:30] }} : nous n'avons pas pu remettre votre commande.\
                  {% if shop.phone %} Appelez-nous : {{ shop.phone }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }} : votre commande {{ order.name }} a du retard",
            lead: "Toutes nos excuses : votre commande a du retard\
                   {% if order.eta %} (nouvelle arrivée prévue : {{ order.eta }}){% endif %}.",
            button: "Suivre la commande",
            sms: "{{ shop.name[:30] }} : votre commande a du retard, toutes nos excuses\
                  {% if order.eta %} (arrivée prévue : {{ order.eta }}){% endif %}. {{ trackingUrl }}",
        },
    ],
    staff: Words {
        subject: "{{ title }} : {{ order.name }}",
        lead: "{{ title }}.",
        button: "",
        sms: "{{ title }} : {{ order.name[:60] }}, {{ order.pickup.address[:60] }} > {{ order.dropoff.address[:60] }}\
              {% if attempt.reason %} ({{ attempt.reason[:60] }}){% endif %}",
    },
    titles: &[
        ("order.created", "Commande créée"),
        ("order.updated", "Commande modifiée"),
        ("order.ready", "Commande à confier"),
        ("order.offered", "Commande proposée"),
        ("order.offer_declined", "Proposition refusée"),
        ("order.offer_expired", "Proposition sans réponse"),
        ("order.assigned", "Livreur désigné"),
        ("order.unassigned", "Livreur retiré"),
        ("order.unassignable", "Aucun livreur possible"),
        ("order.pickup_enroute", "En route vers le retrait"),
        ("order.pickup_arrived", "Livreur au retrait"),
        ("order.picked_up", "Commande retirée"),
        ("order.out_for_delivery", "En cours de livraison"),
        ("order.arriving", "Arrivée imminente"),
        ("order.dropoff_arrived", "Livreur à la porte"),
        ("order.delivered", "Commande livrée"),
        ("order.attempt_failed", "Échec de la remise"),
        ("order.return_started", "Retour en cours"),
        ("order.returned", "Commande rapportée"),
        ("order.cancelled", "Commande annulée"),
        ("order.expired", "Commande expirée"),
        ("order.delayed", "Commande en retard"),
        ("order.eta_changed", "Nouvelle heure prévue"),
        ("order.deleted", "Commande supprimée"),
        ("delivery.updated", "Nouvelles de la livraison"),
        ("notification.failed", "Client non averti"),
    ],
    labels: Labels {
        pin: "PIN pour le livreur :",
        order: "Commande",
        items: "Articles",
        more: "et {} de plus",
        to: "À",
        from: "De",
        recipient: "Pour",
        due: "Promise pour",
        eta: "Prévue",
        driver: "Livreur",
        reason: "Raison",
        contact: "Des questions ?",
    },
    invitation: Words {
        subject: "Invitation à {{ namespace }} sur DropMate",
        lead: "{% if by %}{{ by }} vous invite{% else %}Vous êtes invité{% endif %} à {{ namespace }}\
               {% if role %} (rôle : {{ role }}){% endif %}.",
        button: "Accepter l'invitation",
        sms: "",
    },
    reset: Words {
        subject: "Un nouveau mot de passe pour DropMate",
        lead: "Un nouveau mot de passe a été demandé pour cette adresse.",
        button: "Choisir un nouveau mot de passe",
        sms: "",
    },
    verification: Words {
        subject: "Confirmez votre adresse pour DropMate",
        lead: "Merci de confirmer que cette adresse est la vôtre.",
        button: "Confirmer l'adresse",
        sms: "",
    },
    expires: "Le lien sert une seule fois, jusqu'au {{ expires }}.",
    unasked: "Si vous n'attendiez pas ce message, ignorez-le : rien ne se passe sans le lien.",
    roles: &[
        ("manager", "gérant"),
        ("dispatcher", "régulateur"),
        ("driver", "livreur"),
        ("customer", "client"),
        ("viewer", "observateur"),
    ],
};
