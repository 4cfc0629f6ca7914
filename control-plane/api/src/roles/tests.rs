use super::*;

const DISPATCH: &str = "system:serviceaccount:dropmate-system:dispatch";
const SIMULATION: &str = "system:serviceaccount:dropmate-system:simulation";

fn orders<'a>(verb: &'a str, subresource: &'a str) -> Attributes<'a> {
    Attributes { verb, group: GROUP, resource: "orders", subresource, namespace: Some("acme"), name: None }
}

fn may(user: &str, wanted: &Attributes<'_>) -> bool {
    allowed(&global_grants(user), wanted)
}

/// Somebody with one role in `acme`.
fn member(role: Role, name: Option<&str>) -> Vec<Grant> {
    let mut grants = global_grants("ada@example.com");
    grants.push(Grant { role, namespace: Some("acme".into()), name: name.map(str::to_owned) });
    grants
}

#[test]
fn only_dispatch_binds_but_people_may_unbind() {
    assert!(may(DISPATCH, &orders("create", "binding")));
    assert!(!may(OPERATOR, &orders("create", "binding")));
    assert!(!may(SIMULATION, &orders("create", "binding")));
    assert!(may(OPERATOR, &orders("delete", "binding")));
    for role in [Role::Manager, Role::Dispatcher] {
        assert!(!allowed(&member(role, None), &orders("create", "binding")));
        assert!(allowed(&member(role, None), &orders("delete", "binding")));
    }
    assert!(!allowed(&member(Role::Driver, Some("sam")), &orders("delete", "binding")));
}

#[test]
fn agents_read_everything_of_ours_and_write_only_their_part() {
    assert!(may(DISPATCH, &orders("watch", "")));
    assert!(!may(DISPATCH, &orders("patch", "")));
    assert!(!may(DISPATCH, &orders("delete", "")));
    assert!(may(SIMULATION, &orders("create", "progress")));
    assert!(!may(SIMULATION, &orders("create", "")));
    let Decision::Allowed(permit) = decide(&global_grants(DISPATCH), &orders("patch", "status")) else {
        panic!("dispatch writes its condition")
    };
    assert_eq!(permit.fields.unwrap(), ["status.conditions[type=Unassignable]"]);
    let Decision::Allowed(permit) = decide(&global_grants(OPERATOR), &orders("patch", "status")) else {
        panic!("the operator may")
    };
    assert_eq!(permit, Permit::default());
}

#[test]
fn an_agent_writes_its_own_lease_and_no_other() {
    let lease = |namespace, name| Attributes {
        verb: "update",
        group: "coordination.k8s.io",
        resource: "leases",
        subresource: "",
        namespace,
        name: Some(name),
    };
    assert!(may(DISPATCH, &lease(Some(crate::SYSTEM_NAMESPACE), "dispatch")));
    assert!(!may(DISPATCH, &lease(Some(crate::SYSTEM_NAMESPACE), "tracking")));
    assert!(!may(DISPATCH, &lease(Some("acme"), "dispatch")));
    assert!(!may(DISPATCH, &lease(None, "dispatch")));
}

#[test]
fn a_user_without_a_role_finds_no_namespace() {
    let grants = global_grants("mallory@example.com");
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"] {
        assert_eq!(decide(&grants, &orders(verb, "")), Decision::NoSuchNamespace);
        let everywhere = Attributes { namespace: None, ..orders(verb, "") };
        assert_eq!(decide(&grants, &everywhere), Decision::Forbidden);
    }
}

#[test]
fn a_role_counts_in_its_namespace_alone() {
    let manager = member(Role::Manager, None);
    assert!(allowed(&manager, &orders("delete", "")));
    let elsewhere = Attributes { namespace: Some("bolt"), ..orders("get", "") };
    assert_eq!(decide(&manager, &elsewhere), Decision::NoSuchNamespace);
    assert_eq!(decide(&manager, &Attributes { namespace: None, ..orders("list", "") }), Decision::Forbidden);
}

#[test]
fn a_driver_sees_their_own_and_an_onlooker_everything() {
    let Decision::Allowed(permit) = decide(&member(Role::Driver, Some("sam")), &orders("list", "")) else {
        panic!("a driver lists")
    };
    let Sight::Own(own) = permit.sight else { panic!("{permit:?}") };
    assert_eq!(own.drivers.into_iter().collect::<Vec<_>>(), ["sam"]);
    let mut both = member(Role::Driver, Some("sam"));
    both.extend(member(Role::Dispatcher, None));
    let Decision::Allowed(permit) = decide(&both, &orders("list", "")) else { panic!("a dispatcher lists") };
    assert!(permit.sight.is_everything(), "of two roles the wider sight counts");
}

#[test]
fn a_member_lists_the_namespaces_where_they_are_one() {
    let wanted = Attributes { verb: "list", resource: "namespaces", ..Attributes::default() };
    let Decision::Allowed(permit) = decide(&member(Role::Viewer, None), &wanted) else { panic!("anybody lists") };
    let Sight::Own(own) = permit.sight else { panic!("only their own") };
    assert_eq!(own.namespaces.into_iter().collect::<Vec<_>>(), ["acme"]);
    let Decision::Allowed(permit) = decide(&global_grants(OPERATOR), &wanted) else { panic!("the operator lists") };
    assert!(permit.sight.is_everything());
}

#[test]
fn a_dispatcher_suspends_a_driver_and_writes_nothing_else_of_them() {
    let drivers = Attributes { resource: "drivers", ..orders("patch", "") };
    let Decision::Allowed(permit) = decide(&member(Role::Dispatcher, None), &drivers) else { panic!("may suspend") };
    assert_eq!(permit.fields.unwrap(), ["spec.suspended"]);
    assert!(!allowed(&member(Role::Dispatcher, None), &Attributes { verb: "delete", ..drivers }));
    assert!(!allowed(&member(Role::Dispatcher, None), &orders("delete", "")));
    assert!(!allowed(&member(Role::Dispatcher, None), &orders("deletecollection", "")));
}

#[test]
fn service_accounts_are_in_the_groups_of_kubernetes() {
    assert_eq!(
        groups(DISPATCH),
        ["system:authenticated", "system:serviceaccounts", "system:serviceaccounts:dropmate-system"]
    );
    assert_eq!(groups(OPERATOR), ["system:authenticated"]);
}
