//! The limits of what a caller was allowed: which objects there are for them, what they see of those, which fields and
//! names they may write.

use std::sync::Arc;

use dropmate_api::{
    Clock, GROUP,
    registry::{Kind, Part},
    roles::{self, Decision, Own, Permit, Sight},
};
use dropmate_store::{At, Object, Revision};
use serde_json::{Value, json};

use super::{call::Call, commit};
use crate::{
    error::{ApiError, Result},
    noted::Noted,
    object::text,
    request_info::ResourceInfo,
};

/// The phases in which a customer may still call an order off: nobody has the goods yet.
const BEFORE_PICKUP: [&str; 7] =
    ["Pending", "Scheduled", "Ready", "Offered", "Assigned", "EnRouteToPickup", "AtPickup"];
/// What says the kind of every object.
const TYPE: [&str; 2] = ["apiVersion", "kind"];

/// The eyes of a caller who sees only their own.
#[derive(Clone, Debug)]
pub(crate) struct Eyes {
    sight: Sight,
    own: Own,
    resource: &'static str,
    clock: Clock,
}

impl Eyes {
    /// `None` for who sees everything.
    pub(crate) fn of(call: &Call) -> Option<Self> {
        Self::with(&call.permit.sight, call.kind().plural, &call.state.clock)
    }

    /// The same outside the verbs.
    pub(crate) fn with(sight: &Sight, resource: &'static str, clock: &Clock) -> Option<Self> {
        let Sight::Own(own) = sight else { return None };
        Some(Self { sight: sight.clone(), own: own.clone(), resource, clock: clock.clone() })
    }

    /// Whose objects are the caller's own.
    pub(crate) fn own(&self) -> &Own {
        &self.own
    }

    /// Whether the object is there for the caller.
    pub(crate) fn see(&self, object: &Object) -> bool {
        let parties = Noted::of(object).map(|noted| noted.parties.clone()).unwrap_or_default();
        self.sight.sees(self.resource, &object.key.name, &parties, self.clock.business_now())
    }

    /// The object as the caller may see it.
    pub(crate) fn shown(&self, kind: &Kind, stored: &Object) -> Result<Object> {
        let mut value: Value = serde_json::from_str(&stored.body).map_err(ApiError::internal)?;
        self.redact(&mut value);
        Ok(Object::new(stored.key.clone(), stored.uid.clone(), stored.revision, commit::body(kind, value)))
    }

    /// The same of an object that is not stored.
    pub(crate) fn redact(&self, value: &mut Value) {
        let ordered_by = value.pointer("/spec/customerName").and_then(Value::as_str);
        let ordered = ordered_by.is_some_and(|customer| self.own.customers.contains(customer));
        let email = value.pointer("/spec/recipient/email").cloned().filter(|_| ordered);
        roles::redact(self.resource, value);
        // Who ordered wrote it.
        if let Some(email) = email {
            value["spec"]["recipient"]["email"] = email;
        }
    }
}

impl Call {
    /// The object, if it is there for the caller.
    pub(super) fn seen(&self, object: Option<Arc<Object>>) -> Option<Arc<Object>> {
        let eyes = Eyes::of(self);
        object.filter(|object| eyes.as_ref().is_none_or(|eyes| eyes.see(object)))
    }

    /// Refuses to look back to where the namespace was another one of the same name: that was another tenant.
    pub(super) async fn check_tenancy(&self, version: Revision) -> Result<()> {
        let Some(namespace) = self.target.namespace.as_deref().filter(|_| !roles::is_global(&self.grants)) else {
            return Ok(());
        };
        let key = commit::namespace_key(namespace);
        let (now, newest) = self.state.store.get(&key, At::Any).await?;
        let (then, _) = self.state.store.get(&key, At::Exact(version.min(newest))).await?;
        let uid = |held: Option<Arc<Object>>| held.map(|held| held.uid.clone());
        if uid(now) == uid(then) {
            return Ok(());
        }
        Err(ApiError::expired(format!("too old resource version: {version}: the namespace was made anew since")))
    }

    /// Refuses new owners by who may not delete: an object goes when its last owner has gone.
    pub(super) fn admit_owners(&self, old: &Value, new: &Value) -> Result<()> {
        const OWNERS: &str = "/metadata/ownerReferences";
        if old.pointer(OWNERS) == new.pointer(OWNERS) {
            return Ok(());
        }
        let wanted = ResourceInfo { verb: "delete", subresource: String::new(), ..self.info.clone() };
        if roles::allowed(&self.grants, &wanted.attributes()) {
            return Ok(());
        }
        Err(wanted.forbidden(&self.caller).cause(
            "FieldValueForbidden",
            "who changes owners needs the right to delete",
            "metadata.ownerReferences",
        ))
    }

    /// What the caller may in creating objects of this kind: the request may have been a patch.
    fn creating(&self) -> Result<Permit> {
        if self.info.verb == "create" {
            return Ok(self.permit.clone());
        }
        let wanted = ResourceInfo { verb: "create", ..self.info.clone() };
        match roles::decide(&self.grants, &wanted.attributes()) {
            Decision::Allowed(permit) => Ok(permit),
            Decision::Forbidden | Decision::NoSuchNamespace => Err(wanted.forbidden(&self.caller)),
        }
    }

    /// Refuses a new object that the caller may not make. A customer's own name is put in.
    pub(super) fn admit_new(&self, new: &mut Value) -> Result<()> {
        let permit = self.creating()?;
        let kind = self.kind();
        let name = text(new, "/metadata/name").to_owned();
        if let Some(names) = &permit.names
            && !names.contains(&name.as_str())
        {
            let why = format!("User {:?} may write these names only: {}", self.caller.user, names.join(", "));
            return Err(ApiError::forbidden(kind, &name, &why));
        }
        if let Sight::Own(own) = &permit.sight
            && kind.group == GROUP
            && kind.plural == "orders"
        {
            let given = text(new, "/spec/customerName").to_owned();
            match own.customers.first() {
                Some(only) if given.is_empty() && new["spec"].is_object() => new["spec"]["customerName"] = json!(only),
                _ if own.customers.contains(&given) => {}
                _ => {
                    let customers: Vec<&str> = own.customers.iter().map(String::as_str).collect();
                    let why =
                        format!("spec.customerName: {given:?} is not the caller's, which is {}", customers.join(", "));
                    return Err(ApiError::forbidden(kind, &name, &why));
                }
            }
        }
        match &permit.fields {
            Some(fields) => {
                let allowed: Vec<&str> = fields.iter().copied().chain(TYPE).collect();
                self.check_fields(&json!({}), new, &allowed)
            }
            None => Ok(()),
        }
    }

    /// Refuses an apply patch that would make the caller an owner of what is not theirs in a status, even if it changes
    /// nothing.
    pub(super) fn admit_applied(&self, patch: &Value) -> Result<()> {
        let Some(fields) = self.permit.fields.as_ref().filter(|_| self.part() == Part::Status) else { return Ok(()) };
        let named = ["metadata.name", "metadata.namespace", "metadata.uid"];
        let allowed: Vec<&str> = fields.iter().copied().chain(TYPE).chain(named).collect();
        self.check_fields(&json!({}), patch, &allowed)
    }

    /// Refuses a change of fields that are not the caller's to write.
    pub(super) fn admit_change(&self, old: &Value, new: &Value, part: Part) -> Result<()> {
        let Some(fields) = &self.permit.fields else { return Ok(()) };
        self.check_fields(old, new, fields)?;
        if self.permit.sight.is_everything() || part != Part::Main || self.kind().plural != "orders" {
            return Ok(());
        }
        let phase = text(old, "/status/phase");
        if old == new || BEFORE_PICKUP.contains(&phase) {
            return Ok(());
        }
        let why = format!("its customer may call an order off until it is picked up, and it is {phase}");
        Err(ApiError::forbidden(self.kind(), self.name(), &why))
    }

    fn check_fields(&self, old: &Value, new: &Value, allowed: &[&str]) -> Result<()> {
        let Some(field) = roles::outside(old, new, allowed) else { return Ok(()) };
        let said = |field: &&str| !TYPE.contains(field) && !field.starts_with("metadata.");
        let writable: Vec<&str> = allowed.iter().copied().filter(said).collect();
        let why =
            format!("User {:?} cannot write the field {field}, but only {}", self.caller.user, writable.join(", "));
        Err(ApiError::forbidden(self.kind(), text(new, "/metadata/name"), &why).cause(
            "FieldValueForbidden",
            why,
            &field,
        ))
    }
}
