//! `dropmate driver`: pairing at the terminal.

use serde_json::Value;

use crate::support::Server;

const SAM: &str =
    "apiVersion: dropmate.dev/v1\nkind: Driver\nmetadata: {name: sam, namespace: default}\nspec: {displayName: Sam}\n";

#[test]
fn a_phone_is_paired_by_a_code_on_the_terminal_and_unpaired() {
    let server = Server::start();
    server.apply("sam.yaml", SAM.as_bytes(), &[]).with_code(0);
    let told = server.run(&["driver", "pair", "sam"]).with_code(0);
    let link = told.out.lines().last().unwrap();
    assert!(link.starts_with(&format!("{}/d#pair=", server.url)), "{}", told.out);
    assert!(told.out.contains('▄') && told.out.contains('█'), "a QR code:\n{}", told.out);
    assert!(told.err.contains("Good once, until "), "{}", told.err);
    let tracker = server.run(&["driver", "pair", "sam", "--tracker", "-o", "json"]).with_code(0);
    let urls: Value = serde_json::from_str(&tracker.out).unwrap();
    let client = urls["traccarClient"].as_str().unwrap();
    assert!(client.starts_with(&format!("{}/ingest/osmand/", server.url)), "{client}");
    assert!(client.contains("interval=15") && client.contains("stop_detection=false"), "{client}");
    let shown = server.run(&["driver", "pair", "sam", "--tracker"]).with_code(0);
    for app in ["Traccar Client", "OsmAnd", "OwnTracks", "Overland", "Traccar server"] {
        assert!(shown.out.contains(app), "{app}:\n{}", shown.out);
    }
    let ended = server.run(&["driver", "unpair", "sam"]).with_code(0);
    assert_eq!(ended.out, "driver/sam unpaired\n");
    for verb in ["pair", "unpair"] {
        let refused = server.run(&["driver", verb, "nobody"]).with_code(1);
        assert!(refused.err.contains("nobody"), "{}", refused.err);
    }
}
