//! Spanish. In SMS without á, í, ó and ú, which are not in the small alphabet.

use super::{Labels, Language, Words};

pub(super) const WORDS: Language = Language {
    code: "es",
    colon: ":",
    hello: "Hola, {{ order.recipient.name }}:",
    recipient: [
        Words {
            subject: "{{ shop.name }}: su pedido {{ order.name }} ya tiene repartidor",
            lead: "{% if driver.name %}{{ driver.name }}{% else %}Un repartidor{% endif %} le lleva su pedido\
                   {% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}.",
            button: "Seguir el pedido",
            sms: "{{ shop.name[:30] }}: {% if driver.name %}{{ driver.name[:20] }}{% else %}un repartidor{% endif %} le lleva su pedido\
                  {% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}. {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: su pedido {{ order.name }} va en camino",
            lead: "Su pedido va en camino\
                   {% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}.",
            button: "Seguir el pedido",
            sms: "{{ shop.name[:30] }}: su pedido va en camino{% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}.\
                  {% if pin %} PIN para el repartidor: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: su pedido {{ order.name }} llega enseguida",
            lead: "Su pedido llega enseguida\
                   {% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}. Le esperamos en la puerta.",
            button: "Seguir el pedido",
            sms: "{{ shop.name[:30] }}: su pedido llega enseguida{% if order.eta %} (hora prevista: {{ order.eta }}){% endif %}.\
                  {% if pin %} PIN para el repartidor: {{ pin }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: su pedido {{ order.name }} ha sido entregado",
            lead: "Su pedido ha sido entregado{% if order.delivered %} ({{ order.delivered }}){% endif %}. \
                   Cuéntenos qué tal ha ido.",
            button: "Ver y valorar la entrega",
            sms: "{{ shop.name[:30] }}: su pedido ha sido entregado. ¿Todo bien? {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: no hemos podido entregar su pedido {{ order.name }}",
            lead: "Hemos intentado entregar su pedido y no ha sido posible. Le diremos cómo sigue.",
            button: "Ver cómo sigue",
            sms: "{{ shop.name[:30] }}: no hemos podido entregar su pedido.\
                  {% if shop.phone %} Llame al {{ shop.phone }}.{% endif %} {{ trackingUrl }}",
        },
        Words {
            subject: "{{ shop.name }}: su pedido {{ order.name }} llega con retraso",
            lead: "Lo sentimos: su pedido llega con retraso\
                   {% if order.eta %} (nueva hora prevista: {{ order.eta }}){% endif %}.",
            button: "Seguir el pedido",
            sms: "{{ shop.name[:30] }}: lo sentimos, su pedido llega con retraso\
                  {% if order.eta %} (nueva hora prevista: {{ order.eta }}){% endif %}. {{ trackingUrl }}",
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
        ("order.created", "Pedido creado"),
        ("order.updated", "Pedido modificado"),
        ("order.ready", "Pedido listo para un repartidor"),
        ("order.offered", "Pedido ofrecido"),
        ("order.offer_declined", "Oferta rechazada"),
        ("order.offer_expired", "Oferta sin respuesta"),
        ("order.assigned", "Repartidor asignado"),
        ("order.unassigned", "Repartidor retirado"),
        ("order.unassignable", "No hay repartidor posible"),
        ("order.pickup_enroute", "De camino a la recogida"),
        ("order.pickup_arrived", "Repartidor en la recogida"),
        ("order.picked_up", "Pedido recogido"),
        ("order.out_for_delivery", "En reparto"),
        ("order.arriving", "Llega enseguida"),
        ("order.dropoff_arrived", "Repartidor en la puerta"),
        ("order.delivered", "Pedido entregado"),
        ("order.attempt_failed", "Intento fallido"),
        ("order.return_started", "De vuelta"),
        ("order.returned", "Pedido devuelto"),
        ("order.cancelled", "Pedido anulado"),
        ("order.expired", "Pedido caducado"),
        ("order.delayed", "Pedido con retraso"),
        ("order.eta_changed", "Nueva hora prevista"),
        ("order.deleted", "Pedido borrado"),
        ("delivery.updated", "Novedades de la entrega"),
        ("notification.failed", "Cliente sin avisar"),
    ],
    labels: Labels {
        pin: "PIN para el repartidor:",
        order: "Pedido",
        items: "Artículos",
        more: "y {} más",
        to: "A",
        from: "De",
        recipient: "Para",
        due: "Prometido",
        eta: "Previsto",
        driver: "Repartidor",
        reason: "Motivo",
        contact: "¿Preguntas?",
    },
    invitation: Words {
        subject: "Invitación a {{ namespace }} en DropMate",
        lead: "{% if by %}{{ by }} le invita{% else %}Ha recibido una invitación{% endif %} a {{ namespace }}\
               {% if role %} (función: {{ role }}){% endif %}.",
        button: "Aceptar la invitación",
        sms: "",
    },
    reset: Words {
        subject: "Una contraseña nueva para DropMate",
        lead: "Alguien ha pedido una contraseña nueva para esta dirección.",
        button: "Elegir una contraseña nueva",
        sms: "",
    },
    verification: Words {
        subject: "Confirme su dirección para DropMate",
        lead: "Confirme, por favor, que esta dirección es suya.",
        button: "Confirmar la dirección",
        sms: "",
    },
    expires: "El enlace sirve una vez, hasta el {{ expires }}.",
    unasked: "Si no esperaba este mensaje, no haga nada: sin el enlace no ocurre nada.",
    roles: &[
        ("manager", "gerente"),
        ("dispatcher", "coordinador"),
        ("driver", "repartidor"),
        ("customer", "cliente"),
        ("viewer", "observador"),
    ],
};
