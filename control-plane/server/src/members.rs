//! Who is a member of which namespace: an index over the Members in the store, kept up to date by a watch.

mod drivers;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use dropmate_api::{
    Member, SYSTEM_NAMESPACE,
    registry::{Kind, Part, WriteContext, by_resource},
    roles::{self, DRIVER_USER, Decision, Grant, Permit, Role, SERVICE_ACCOUNT},
};
use dropmate_live::Live;
use dropmate_store::{Actor, At, Change, Expect, Key, Object, Scope, Store, WriteError};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::drivers::Drivers;
use crate::{
    caller::{Admission, Caller},
    error::{ApiError, Result},
    request_info::ResourceInfo,
    resources::{self, write},
    state::AppState,
};

const STORAGE: &str = "members.dropmate.dev";
/// The pause before the index is made anew after its watch broke off: the store is busy or closing.
const AGAIN_AFTER: Duration = Duration::from_millis(200);
/// How often a write of the server itself is tried against others' of the same object.
const MAX_ATTEMPTS: usize = 8;

/// The Members of all namespaces, by user. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    index: Arc<RwLock<Index>>,
    drivers: Drivers,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Index {
    by_user: HashMap<String, Vec<Membership>>,
    /// The user of each Member, by namespace and name.
    users: HashMap<(String, String), String>,
}

/// A Member, as far as it tells what somebody may.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Membership {
    member: String,
    grant: Grant,
    /// Who accepted the invitation.
    user_uid: Option<String>,
}

impl Directory {
    /// Reads all Members, and follows them from then on until the store is closed.
    pub(crate) async fn follow(store: &Store, live: &Live, stop: CancellationToken) -> Self {
        let directory = Self::default();
        directory.follow_drivers(store, live.clone(), stop.clone()).await;
        let drivers = directory.drivers.clone();
        live.only(move |position| {
            position.uid.is_empty()
                || drivers.uid(&position.namespace, &position.driver).as_ref() == Some(&position.uid)
        });
        let mut watch = directory.load(store).await;
        let (following, store) = (directory.clone(), store.clone());
        tokio::spawn(async move {
            let followed = async {
                loop {
                    while let Some(Ok(event)) = next(&mut watch).await {
                        following.take(&event.object, event.deleted);
                    }
                    // As long as nobody knows what has changed, what was known stays.
                    tokio::time::sleep(AGAIN_AFTER).await;
                    watch = following.load(&store).await;
                }
            };
            stop.run_until_cancelled(followed).await;
        });
        directory
    }

    async fn load(&self, store: &Store) -> Option<dropmate_store::Watch> {
        let scope = Scope { resource: STORAGE.to_owned(), namespace: None };
        let page = store.list(&scope, At::Any, None, None).await.ok()?;
        let mut index = Index::default();
        for object in &page.objects {
            index.put(object);
        }
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
        self.changes.send_modify(|count| *count += 1);
        store.watch(scope, page.revision).await.ok()
    }

    fn take(&self, object: &Object, deleted: bool) {
        {
            let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
            index.remove(&object.key);
            if !deleted {
                index.put(object);
            }
        }
        self.changes.send_modify(|count| *count += 1);
    }

    /// Everything that a caller holds.
    pub(crate) fn grants(&self, caller: &Caller) -> Vec<Grant> {
        let mut grants = roles::global_grants(&caller.user);
        grants.extend(self.phone_of(caller));
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let held = index.by_user.get(&caller.user).into_iter().flatten();
        grants
            .extend(held.filter(|membership| membership.is_held_by(caller)).map(|membership| membership.grant.clone()));
        grants
    }

    /// What a driver's phone may: what the driver may, as long as that Driver is there. Of a caller without a uid the program
    /// itself, or the operator's file of tokens, says who it is.
    fn phone_of(&self, caller: &Caller) -> Option<Grant> {
        let (namespace, name) = caller.user.strip_prefix(DRIVER_USER)?.split_once(':')?;
        let uid = self.drivers.uid(namespace, name)?;
        let same = caller.uid.is_empty() || caller.uid == uid;
        same.then(|| Grant { role: Role::Driver, namespace: Some(namespace.to_owned()), name: Some(name.to_owned()) })
    }

    /// The uid of the Driver who is there by that name.
    pub(crate) fn driver(&self, namespace: &str, name: &str) -> Option<String> {
        self.drivers.uid(namespace, name)
    }

    /// Waits until the caller may no longer do the same with the same limits.
    pub(crate) async fn ended(self, caller: Caller, info: ResourceInfo, permit: Permit) {
        let mut changes = self.changes.subscribe();
        let held = Decision::Allowed(permit);
        loop {
            if roles::decide(&self.grants(&caller), &info.attributes()) != held {
                return;
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    }
}

async fn next(
    watch: &mut Option<dropmate_store::Watch>,
) -> Option<std::result::Result<Arc<dropmate_store::Event>, dropmate_store::ReadError>> {
    watch.as_mut()?.next().await
}

impl Membership {
    /// A Member takes effect for whoever accepted its invitation, for an address that is known to be the caller's, and
    /// for a service account. Registering the address first is not enough.
    fn is_held_by(&self, caller: &Caller) -> bool {
        let accepted = !caller.uid.is_empty() && self.user_uid.as_ref() == Some(&caller.uid);
        accepted || caller.verified || caller.user.starts_with(SERVICE_ACCOUNT)
    }
}

impl Index {
    fn put(&mut self, object: &Object) {
        let Ok(member) = serde_json::from_str::<Member>(&object.body) else { return };
        // On its way out, it gives nothing any more.
        if member.metadata.deletion_timestamp.is_some() {
            return;
        }
        let Key { namespace, name, .. } = object.key.clone();
        // As the strategy has it; a Member from before that rule gives nothing.
        if namespace == SYSTEM_NAMESPACE {
            return;
        }
        let spec = member.spec;
        let membership = Membership {
            member: name.clone(),
            grant: Grant {
                role: spec.role.into(),
                namespace: Some(namespace.clone()),
                name: spec.driver_name.or(spec.customer_name),
            },
            user_uid: member.status.and_then(|status| status.user_uid),
        };
        self.by_user.entry(spec.user.clone()).or_default().push(membership);
        self.users.insert((namespace, name), spec.user);
    }

    fn remove(&mut self, key: &Key) {
        let Some(user) = self.users.remove(&(key.namespace.clone(), key.name.clone())) else { return };
        let Some(held) = self.by_user.get_mut(&user) else { return };
        held.retain(|held| held.member != key.name || held.grant.namespace.as_ref() != Some(&key.namespace));
        if held.is_empty() {
            self.by_user.remove(&user);
        }
    }
}

/// Since when a namespace is the one that the caller has a role in: a business of the same name before it is somebody
/// else's. `None` for who has a global role.
pub(crate) async fn tenant_since(
    state: &AppState,
    admission: &Admission,
    namespace: &str,
) -> Result<Option<Timestamp>> {
    if roles::is_global(&admission.grants) {
        return Ok(None);
    }
    let (held, _) = state.store.get(&resources::namespace_key(namespace), At::Any).await?;
    let held = held.ok_or_else(|| ApiError::namespace_not_found(namespace))?;
    let body: Value = serde_json::from_str(&held.body).map_err(ApiError::internal)?;
    Ok(body.pointer("/metadata/creationTimestamp").and_then(Value::as_str).and_then(|at| at.parse().ok()))
}

/// Whom an invitation is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InvitedMember {
    /// The address.
    pub(crate) email: String,
    /// The Member's uid: a Member that is made anew is another one.
    pub(crate) uid: String,
    /// As people say it: `manager`.
    pub(crate) role: &'static str,
}

/// Notes that a link for a Member is made, and says for whom. 404 if there is no such Member, 409 if it needs no link.
pub(crate) async fn invited(state: &AppState, namespace: &str, member: &str) -> Result<InvitedMember> {
    let now = state.clock.system_now();
    let changed = change(state, namespace, member, None, |_, status| {
        status["invitedAt"] = json!(now);
    })
    .await?;
    let spec = Member::deserialize(&changed).map_err(ApiError::internal)?.spec;
    let kind = kind()?;
    if spec.user.starts_with(SERVICE_ACCOUNT) {
        let why = "it is a service account, which needs no invitation; make a token with `kubectl create token`";
        return Err(ApiError::conflict(kind, member, why));
    }
    let uid = changed.pointer("/metadata/uid").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(InvitedMember { email: spec.user, uid, role: Role::from(spec.role).name() })
}

/// Makes a Member take effect for the user who used its link. 409 if it is not the Member that the link was made for.
pub(crate) async fn accept(
    state: &AppState,
    namespace: &str,
    member: &str,
    member_uid: &str,
    user_uid: &str,
) -> Result<()> {
    let now = state.clock.system_now();
    let accepted = change(state, namespace, member, Some(member_uid), |_, status| {
        status["acceptedAt"] = json!(now);
        status["userUid"] = user_uid.into();
    });
    match accepted.await {
        Err(error) if error.reason() == "NotFound" => Err(gone(kind()?, member)),
        outcome => outcome.map(|_| ()),
    }
}

fn gone(kind: &Kind, member: &str) -> ApiError {
    ApiError::conflict(kind, member, "it was deleted or made anew since the link was made; ask for another link")
}

fn kind() -> Result<&'static Kind> {
    by_resource(dropmate_api::GROUP, dropmate_api::VERSION, "members")
        .ok_or_else(|| ApiError::internal("no kind Member"))
}

/// Changes a Member's status, as only the server may; the Member as it is then.
async fn change(
    state: &AppState,
    namespace: &str,
    member: &str,
    uid: Option<&str>,
    set: impl Fn(&Value, &mut Value),
) -> Result<Value> {
    let kind = kind()?;
    let key = Key { resource: STORAGE.to_owned(), namespace: namespace.to_owned(), name: member.to_owned() };
    let actor = Actor { user: "system:apiserver".into(), ..Actor::default() };
    for _ in 0..MAX_ATTEMPTS {
        let (held, _) = state.store.get(&key, At::Latest).await?;
        let held = held.ok_or_else(|| ApiError::not_found(kind, member))?;
        if uid.is_some_and(|uid| uid != held.uid) {
            return Err(gone(kind, member));
        }
        let old = resources::served(kind, &held)?;
        let mut new = old.clone();
        if !new["status"].is_object() {
            new["status"] = json!({});
        }
        set(&old, &mut new["status"]);
        let cx = WriteContext { part: Part::Facts, business_now: state.clock.business_now() };
        kind.strategy.prepare(&mut new, Some(&old), &cx);
        let change = Change::Put { uid: held.uid.clone(), body: resources::body(kind, new.clone()) };
        match write(state, key.clone(), Expect::Revision(held.revision), change, Vec::new(), &actor).await {
            Ok(_) => return Ok(new),
            Err(WriteError::Changed(_)) => {}
            Err(error) => return Err(ApiError::write(kind, member, &error)),
        }
    }
    Err(ApiError::modified(kind, member))
}
