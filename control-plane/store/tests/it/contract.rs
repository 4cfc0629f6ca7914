use std::sync::Arc;

use dropmate_store::{Actor, At, Change, Expect, Key, Scope, Store, Write};
use jiff::Timestamp;

fn put(name: &str, expect: Expect, body: &str) -> Write {
    Write {
        key: Key { resource: "orders.dropmate.dev".into(), namespace: "shop".into(), name: name.into() },
        expect,
        change: Change::Put { uid: format!("uid-{name}"), body: body.into() },
        guards: Vec::new(),
        urgent: false,
        actor: Actor::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn smoke() {
    let store = Store::memory(Arc::new(|| Timestamp::UNIX_EPOCH));
    let scope = Scope { resource: "orders.dropmate.dev".into(), namespace: None };
    let mut watch = store.watch(scope.clone(), 0).await.unwrap();
    for i in 0..10 {
        store.write(put(&format!("a{i}"), Expect::Absent, "{}")).await.unwrap();
    }
    let first = store.write(put("a0", Expect::Revision(1), "{\"x\":1}")).await.unwrap();
    assert_eq!(first.revision, 11);
    assert!(store.write(put("a0", Expect::Revision(1), "{\"x\":1}")).await.is_err());
    for i in 1..=11 {
        assert_eq!(watch.next().await.unwrap().unwrap().revision, i);
    }
    let page = store.list(&scope, At::Latest, None, Some(4)).await.unwrap();
    assert_eq!((page.objects.len(), page.remaining), (4, 6));
    let old = store.list(&scope, At::Exact(5), None, Some(4)).await.unwrap();
    assert_eq!((old.objects.len(), old.remaining, old.objects[0].revision), (4, 1, 1));
    store.close().await;
    assert!(watch.next().await.is_none());
}
