//! What `make bench` writes has the shape that others read.

#[path = "../benches/bench/report.rs"]
mod report;

use std::path::Path;

use report::Row;
use serde_json::{Value, json};

#[test]
fn a_row_has_all_fields_and_null_for_what_it_lacks() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench_report.json");
    let rows = [
        Row::new("a floor", 20.0, "µs"),
        Row::new("beside it", 50.0, "µs").floor(20.0).target(2.3),
        Row::new("alone", 5.25, "MiB").target(6.0),
    ];
    report::write(&rows, &file).unwrap();
    let written: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let expected = json!([
        { "row": "a floor", "value": 20.0, "unit": "µs", "floor": null, "ratio": null, "target": null, "ok": null },
        { "row": "beside it", "value": 50.0, "unit": "µs", "floor": 20.0, "ratio": 2.5, "target": 2.3, "ok": false },
        { "row": "alone", "value": 5.25, "unit": "MiB", "floor": null, "ratio": null, "target": 6.0, "ok": true },
    ]);
    assert_eq!(written, expected);
}

#[test]
fn a_time_must_not_pass_its_target_and_a_rate_has_to_reach_it() {
    let shown = |value, unit| Row::new("row", value, unit).floor(100.0).target(1.5).to_string();
    assert!(shown(149.0, "µs").ends_with("1.49 ×   ≤ 1.5 ×    ok"), "{}", shown(149.0, "µs"));
    assert!(shown(151.0, "µs").ends_with("1.51 ×   ≤ 1.5 ×    MISSED"), "{}", shown(151.0, "µs"));
    assert!(shown(149.0, "MB/s").ends_with("1.49 ×   ≥ 1.5 ×    MISSED"), "{}", shown(149.0, "MB/s"));
    assert!(shown(151.0, "/s").ends_with("1.51 ×   ≥ 1.5 ×    ok"), "{}", shown(151.0, "/s"));
}

#[test]
fn the_summary_names_what_is_missed() {
    let met = Row::new("met", 1.0, "µs").target(2.0);
    let missed = Row::new("slow", 3.0, "µs").target(2.0);
    assert_eq!(report::summary(&[met.clone(), Row::new("other", 1.0, "µs")]), "targets met: 1 of 1");
    assert_eq!(report::summary(&[met, missed]), "targets met: 1 of 2; MISSED: slow");
}

#[test]
fn columns_stand_under_their_names() {
    let (head, row) = (report::head(), Row::new("µ", 7.0, "µs").floor(7.0).target(1.0).to_string());
    let column = |line: &str, text: &str| line.split(text).next().unwrap().chars().count();
    assert_eq!(column(&head, "value") + "value".len(), column(&row, "7.0") + "7.0".len());
    assert_eq!(column(&head, "target"), column(&row, "≤"));
}
