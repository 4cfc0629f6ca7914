//! What a deletion means for the objects that name the deleted one as their owner.

use dropmate_api::{registry::Kind, validation::Cause};
use serde_json::Value;

use crate::{
    error::{ApiError, Result},
    object::{self, metadata},
    options::{Query, boolean},
};

/// Held by an object whose dependents are to be let go of before it goes.
pub(crate) const ORPHAN: &str = "orphan";
/// Held by an object whose dependents go before it.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";

/// What becomes of the dependents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go once it is gone.
    Background,
    /// They go first.
    Foreground,
    /// They stay, as nobody's.
    Orphan,
}

impl Propagation {
    /// As the query of a DELETE says.
    pub(super) fn of_query(query: &Query) -> Result<Option<Self>> {
        Self::asked(query.get("propagationPolicy").map(String::as_str), boolean(query, "orphanDependents"))
    }

    /// As the body of a DELETE says.
    pub(super) fn of_body(options: &Value) -> Result<Option<Self>> {
        let wrong = |field: &str, value: &Value, go: &str| {
            let found = object::go_name(value);
            ApiError::bad_request(format!(
                "json: cannot unmarshal {found} into Go struct field DeleteOptions.{field} of type {go}"
            ))
        };
        let policy = match &options["propagationPolicy"] {
            Value::Null => None,
            Value::String(policy) => Some(policy.as_str()),
            other => return Err(wrong("propagationPolicy", other, "v1.DeletionPropagation")),
        };
        let orphan = match &options["orphanDependents"] {
            Value::Null => None,
            Value::Bool(orphan) => Some(*orphan),
            other => return Err(wrong("orphanDependents", other, "bool")),
        };
        Self::asked(policy, orphan)
    }

    /// `orphan` is how it was said before there were three ways.
    fn asked(policy: Option<&str>, orphan: Option<bool>) -> Result<Option<Self>> {
        const FIELD: &str = "propagationPolicy";
        let mut causes = Vec::new();
        if let (Some(policy), Some(_)) = (policy, orphan) {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            causes.push(Cause::invalid(FIELD, &policy.into(), detail));
        }
        let asked = match policy {
            None => orphan.map(|orphan| if orphan { Self::Orphan } else { Self::Background }),
            Some("Background") => Some(Self::Background),
            Some("Foreground") => Some(Self::Foreground),
            Some("Orphan") => Some(Self::Orphan),
            Some(other) => {
                let supported = ["Foreground", "Background", "Orphan", "nil"];
                causes.push(Cause::not_supported(FIELD, &other.into(), &supported));
                None
            }
        };
        if causes.is_empty() { Ok(asked) } else { Err(ApiError::invalid_options("DeleteOptions", &causes)) }
    }

    /// The finalizer that makes the object wait for its dependents.
    fn finalizer(self) -> Option<&'static str> {
        match self {
            Self::Background => None,
            Self::Foreground => Some(FOREGROUND),
            Self::Orphan => Some(ORPHAN),
        }
    }
}

/// Gives an object that is deleted the finalizer of the asked way and takes away that of another; where no way was asked
/// for, those that it has say it. Tells whether that changed anything.
pub(super) fn set_finalizers(kind: &Kind, object: &mut Value, asked: Option<Propagation>) -> bool {
    let held: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
    let holds = |name: &str| held.iter().any(|finalizer| finalizer == name);
    let way = if !kind.strategy.collected() {
        None
    } else if let Some(asked) = asked {
        asked.finalizer()
    } else if holds(ORPHAN) {
        Some(ORPHAN)
    } else {
        Some(FOREGROUND).filter(|name| holds(name))
    };
    let others = [ORPHAN, FOREGROUND].into_iter().filter(|name| Some(*name) != way);
    if way.is_none_or(holds) && !others.into_iter().any(holds) {
        return false;
    }
    let kept = held.into_iter().filter(|finalizer| finalizer != ORPHAN && finalizer != FOREGROUND);
    let finalizers: Vec<Value> = kept.chain(way.map(str::to_owned)).map(Value::from).collect();
    let metadata = metadata(object);
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.insert("finalizers".into(), finalizers.into());
    }
    true
}

#[cfg(test)]
mod tests {
    use dropmate_api::registry::by_resource;
    use serde_json::json;

    use super::*;

    fn finalizers_after(plural: (&str, &str), held: &[&str], asked: Option<Propagation>) -> (Vec<String>, bool) {
        let kind = by_resource(plural.0, "v1", plural.1).unwrap();
        let mut object = json!({"metadata": {"finalizers": held}});
        let changed = set_finalizers(kind, &mut object, asked);
        (object::finalizers(&object).into_iter().map(str::to_owned).collect(), changed)
    }

    #[test]
    fn the_asked_way_counts_and_else_the_finalizers_that_are_there() {
        use Propagation::{Background, Foreground, Orphan};
        let order = ("dropmate.dev", "orders");
        for (held, asked, after) in [
            (&[][..], None, &[][..]),
            (&[], Some(Background), &[]),
            (&[], Some(Foreground), &["foregroundDeletion"]),
            (&[], Some(Orphan), &["orphan"]),
            (&["orphan"], None, &["orphan"]),
            (&["foregroundDeletion"], None, &["foregroundDeletion"]),
            (&["foregroundDeletion"], Some(Background), &[]),
            (&["orphan", "x/y"], Some(Foreground), &["x/y", "foregroundDeletion"]),
            (&["foregroundDeletion", "x/y"], Some(Orphan), &["x/y", "orphan"]),
            (&["orphan", "x/y"], Some(Orphan), &["orphan", "x/y"]),
            (&["x/y"], None, &["x/y"]),
        ] {
            let (finalizers, changed) = finalizers_after(order, held, asked);
            assert_eq!(finalizers, after, "{held:?} {asked:?}");
            assert_eq!(changed, held != after, "{held:?} {asked:?}");
        }
    }

    #[test]
    fn nobody_is_an_events_dependent() {
        let (finalizers, _) = finalizers_after(("", "events"), &["orphan", "x/y"], Some(Propagation::Foreground));
        assert_eq!(finalizers, ["x/y"]);
    }

    #[test]
    fn wishes_that_mean_nothing_are_refused_in_the_words_of_kubernetes() {
        let refusal = |options: Value| Propagation::of_body(&options).unwrap_err().message().to_owned();
        assert_eq!(
            refusal(json!({"propagationPolicy": "Later"})),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Unsupported value: \"Later\": supported \
             values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
        );
        assert_eq!(
            refusal(json!({"propagationPolicy": "Orphan", "orphanDependents": false})),
            "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": \
             orphanDependents and deletionPropagation cannot be both set"
        );
        let legacy = |orphan: bool| Propagation::of_body(&json!({"orphanDependents": orphan})).unwrap();
        assert_eq!((legacy(true), legacy(false)), (Some(Propagation::Orphan), Some(Propagation::Background)));
    }
}
