//! What must not compile.

#[test]
fn the_door_has_no_side_entrance() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
