//! Lists: selectors, pages, versions.

use rstest::rstest;
use serde_json::{Value, json};

use crate::client::{Api, ORDERS, order, text};

async fn with_orders(count: usize) -> Api {
    let api = Api::start().await;
    for index in 0..count {
        let mut wanted = order(&format!("o{index}"));
        wanted["metadata"]["labels"] = json!({"parity": if index % 2 == 0 { "even" } else { "odd" }});
        api.post(ORDERS, &wanted).await.ok();
    }
    api
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| text(&item["metadata"]["name"])).collect()
}

#[rstest]
#[case("", &["o0", "o1", "o2", "o3"])]
#[case("?labelSelector=parity%3Dodd", &["o1", "o3"])]
#[case("?labelSelector=parity%20in%20(even,odd),!other", &["o0", "o1", "o2", "o3"])]
#[case("?fieldSelector=metadata.name%3Do2", &["o2"])]
#[case("?fieldSelector=metadata.name!%3Do2", &["o0", "o1", "o3"])]
#[case("?fieldSelector=status.phase%3DPending", &["o0", "o1", "o2", "o3"])]
#[case("?fieldSelector=spec.driverName%3D,status.phase%3DPending&labelSelector=parity%3Deven", &["o0", "o2"])]
#[case("?fieldSelector=status.phase%3DDelivered", &[])]
#[tokio::test]
async fn selectors_choose(#[case] query: &str, #[case] expected: &[&str]) {
    let api = with_orders(4).await;
    let list = api.get(&format!("{ORDERS}{query}")).await.ok();
    assert_eq!(names(&list), expected);
    assert_eq!(list["kind"], "OrderList");
    assert_eq!(list["metadata"]["continue"], "");
    let everywhere = api.get(&format!("/apis/dropmate.dev/v1/orders{query}")).await.ok();
    assert_eq!(names(&everywhere), expected);
}

#[tokio::test]
async fn a_field_that_is_not_selectable_is_refused() {
    let api = Api::start().await;
    let refused = api.get(&format!("{ORDERS}?fieldSelector=spec.priority%3D1")).await;
    assert_eq!(refused.refusal().0, 400);
    assert!(refused.refusal().2.ends_with("field label not supported: spec.priority"), "{}", refused.body);
}

#[rstest]
#[case("", Some(7))]
#[case("&labelSelector=parity", None)]
#[tokio::test]
async fn a_walk_in_pages_sees_the_state_of_its_first_page(#[case] selector: &str, #[case] remaining: Option<u64>) {
    let api = with_orders(10).await;
    let first = api.get(&format!("{ORDERS}?limit=3{selector}")).await.ok();
    assert_eq!(first["metadata"]["remainingItemCount"].as_u64(), remaining);
    api.delete(&format!("{ORDERS}/o9"), &Value::Null).await.ok();
    api.post(ORDERS, &order("o99")).await.ok();
    let mut seen: Vec<String> = names(&first).into_iter().map(str::to_owned).collect();
    let mut token = text(&first["metadata"]["continue"]).to_owned();
    while !token.is_empty() {
        let page = api.get(&format!("{ORDERS}?limit=3{selector}&continue={token}")).await.ok();
        assert_eq!(page["metadata"]["resourceVersion"], first["metadata"]["resourceVersion"]);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        text(&page["metadata"]["continue"]).clone_into(&mut token);
    }
    assert_eq!(seen, (0..10).map(|index| format!("o{index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_continue_token_is_good_for_its_own_list_alone() {
    let api = with_orders(3).await;
    let page = api.get(&format!("{ORDERS}?limit=1")).await.ok();
    let token = text(&page["metadata"]["continue"]);
    for path in [format!("{ORDERS}?limit=1&labelSelector=parity&continue={token}"), format!("{ORDERS}?continue=abc")] {
        assert_eq!(api.get(&path).await.refusal().0, 400, "{path}");
    }
}

#[tokio::test]
async fn a_list_is_as_new_as_asked_for() {
    let api = with_orders(2).await;
    let before = api.get(ORDERS).await.ok();
    let version = text(&before["metadata"]["resourceVersion"]).to_owned();
    api.post(ORDERS, &order("o2")).await.ok();
    let exact = api.get(&format!("{ORDERS}?resourceVersion={version}&resourceVersionMatch=Exact")).await.ok();
    assert_eq!(exact, before);
    let newer = api.get(&format!("{ORDERS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan")).await.ok();
    assert_eq!(names(&newer).len(), 3);
    assert_eq!(names(&api.get(&format!("{ORDERS}?resourceVersion=0")).await.ok()).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_not_there_yet_times_out() {
    let api = Api::start().await;
    let refused = api.get(&format!("{ORDERS}?resourceVersion=999999&resourceVersionMatch=NotOlderThan")).await;
    assert_eq!(refused.refusal().0, 504);
    assert_eq!(refused.refusal().1, "Timeout");
    assert_eq!(refused.body["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(refused.body["details"]["retryAfterSeconds"], 1);
}

#[rstest]
#[case("resourceVersionMatch=Exact", 422)]
#[case("resourceVersion=0&resourceVersionMatch=Exact", 422)]
#[case("resourceVersion=1&resourceVersionMatch=Sometimes", 422)]
#[case("sendInitialEvents=true", 422)]
#[case("resourceVersion=abc", 400)]
#[case("labelSelector=a%20b", 400)]
#[case("limit=many", 400)]
#[case("watch=true&sendInitialEvents=true", 422)]
#[case("watch=true&resourceVersionMatch=NotOlderThan", 422)]
#[tokio::test]
async fn options_that_mean_nothing_are_refused(#[case] query: &str, #[case] code: u16) {
    let api = Api::start().await;
    assert_eq!(api.get(&format!("{ORDERS}?{query}")).await.refusal().0, code);
}
