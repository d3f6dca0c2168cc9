//! What the macros say about wrong code. After a change on purpose: `TRYBUILD=overwrite cargo test --test macro_errors`.

#[test]
fn macros_say_what_to_write_instead() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
