use super::*;

#[test]
fn every_schema_compiles_and_names_are_unique() {
    let mut seen = std::collections::BTreeSet::new();
    for kind in kinds() {
        assert!(seen.insert((kind.group, kind.plural)), "{}", kind.group_resource());
        assert!((kind.schema)().json()["properties"]["metadata"].is_object(), "{}", kind.kind);
        assert!(!kind.storage.is_empty());
    }
}
