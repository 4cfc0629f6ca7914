//! English.

use super::{Labels, Language, Words};

pub(super) const WORDS: Language = Language {
    code: "en",
    colon: ":",
    hello: "Hello {{ order.recipient.name }},",
    recipient: [
        Words {
            subject: "{{ shop.name }}: your order {{ order.name }} has a driver",
            lead: "{% if driver.name %}{{ driver.name }}{% else %}A driver{% endif %} will bring your order\
                   {% if order.eta %}, expected at about {{ order.eta }}{% endif %}.",
            button: "Follow your order",
            sms: "{{ shop.name[:30] }}: {% if driver.name %}{{ driver.name[:20] }}{% else %}a driver{% endif %} will bring your order\
                  {% if order.eta %}, at about {{ order.eta }}{% endif %}. {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: your order {{ order.name }} is on its way",
            lead: "Your order is on its way\
                   {% if order.eta %} and expected at about {{ order.eta }}{% endif %}.",
            button: "Follow your order",
            sms: "{{ shop.name[:30] }}: your order is on its way{% if order.eta %}, expected at about {{ order.eta }}{% endif %}.\
                  {% if pin %} PIN for the driver: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: your order {{ order.name }} is almost there",
            lead: "Your order is almost there\
                   {% if order.eta %}, at about {{ order.eta }}{% endif %}. Please be ready at the door.",
            button: "Follow your order",
            sms: "{{ shop.name[:30] }}: your order is almost there{% if order.eta %}, at about {{ order.eta }}{% endif %}.\
                  {% if pin %} PIN for the driver: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: your order {{ order.name }} was delivered",
            lead: "Your order was delivered{% if order.delivered %} at {{ order.delivered }}{% endif %}. \
                   Enjoy it, and tell us how it went.",
            button: "See and rate the delivery",
            sms: "{{ shop.name[:30] }}: your order was delivered. How was it? {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: we could not deliver your order {{ order.name }}",
            lead: "We tried to deliver your order and could not hand it over. We will tell you how it goes on.",
            button: "See how it goes on",
            sms: "{{ shop.name[:30] }}: we could not hand over your order.\
                  {% if shop.phone %} Call us: {{ shop.phone }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: your order {{ order.name }} is late",
            lead: "We are sorry: your order is running late\
                   {% if order.eta %} and now expected at about {{ order.eta }}{% endif %}.",
            button: "Follow your order",
            sms: "{{ shop.name[:30] }}: sorry, your order is running late\
                  {% if order.eta %}, now expected at about {{ order.eta }}{% endif %}. {{ trackingUrl }}",
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
        ("order.created", "Order placed"),
        ("order.updated", "Order changed"),
        ("order.ready", "Order ready for a driver"),
        ("order.offered", "Order offered"),
        ("order.offer_declined", "Offer declined"),
        ("order.offer_expired", "Offer not answered"),
        ("order.assigned", "Driver assigned"),
        ("order.unassigned", "Driver taken off the order"),
        ("order.unassignable", "No driver can be found"),
        ("order.pickup_enroute", "On the way to the pickup"),
        ("order.pickup_arrived", "Driver at the pickup"),
        ("order.picked_up", "Order picked up"),
        ("order.out_for_delivery", "Out for delivery"),
        ("order.arriving", "Arriving soon"),
        ("order.dropoff_arrived", "Driver at the door"),
        ("order.delivered", "Order delivered"),
        ("order.attempt_failed", "Attempt failed"),
        ("order.return_started", "On the way back"),
        ("order.returned", "Order returned"),
        ("order.cancelled", "Order cancelled"),
        ("order.expired", "Order expired"),
        ("order.delayed", "Order late"),
        ("order.eta_changed", "New expected time"),
        ("order.deleted", "Order deleted"),
        ("delivery.updated", "Delivery news"),
        ("notification.failed", "Customer could not be notified"),
    ],
    labels: Labels {
        pin: "PIN for the driver:",
        order: "Order",
        items: "Items",
        more: "and {} more",
        to: "To",
        from: "From",
        recipient: "For",
        due: "Promised",
        eta: "Expected",
        driver: "Driver",
        reason: "Reason",
        contact: "Questions?",
    },
    invitation: Words {
        subject: "You are invited to {{ namespace }} on DropMate",
        lead: "{% if by %}{{ by }} invites you{% else %}You are invited{% endif %} to {{ namespace }}\
               {% if role %} as {{ role }}{% endif %}.",
        button: "Accept the invitation",
        sms: "",
    },
    reset: Words {
        subject: "A new password for DropMate",
        lead: "Somebody asked for a new password for this address.",
        button: "Choose a new password",
        sms: "",
    },
    verification: Words {
        subject: "Confirm your address for DropMate",
        lead: "Please confirm that this address is yours.",
        button: "Confirm the address",
        sms: "",
    },
    expires: "The link is good once, until {{ expires }}.",
    unasked: "If you did not expect this, ignore it: nothing happens without the link.",
    roles: &[
        ("manager", "manager"),
        ("dispatcher", "dispatcher"),
        ("driver", "driver"),
        ("customer", "customer"),
        ("viewer", "viewer"),
    ],
};
