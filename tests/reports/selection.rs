//! The options `--only` and `--tag`.

use super::{Shop, titles};

#[test]
fn probes_are_selected_by_patterns_and_tags() {
    let shop = Shop::new("selection");
    let check = |arguments: &[&str], expected: &[&str]| {
        let ended = shop.once(&[&["--format", "json"], arguments].concat());
        assert_eq!(titles(&ended.stdout), expected, "{arguments:?}: {}", ended.stderr);
    };
    check(&["--only", "Front*"], &["Front page"]);
    check(&["--only", "S*", "--only", "Front page"], &["Front page", "Stock", "Search"]);
    check(&["--only", "http", "--tag", "team=s*"], &["Front page", "Checkout: <a, b> 100%", "Search"]);
    check(&["--tag", "team=shop", "--tag", "a*=*"], &["Front page", "Checkout: <a, b> 100%"]);
    check(&["--tag", "team=search"], &["Search"]);
}

#[test]
fn selecting_nothing_is_an_error_that_says_what_there_is() {
    let shop = Shop::new("selection-none");
    for (arguments, parts) in [
        (&["--only", "Shop*"][..], &["matches `Shop*`", "`Front page`, `Search`, `Stock`"][..]),
        (&["--tag", "team=web"], &["matches `team=web`", "`team=search`, `team=shop`"]),
        (&["--only", "Stock", "--tag", "team=shop"], &["`--only` and `--tag`", "`Search: team=search`"]),
        (&["--tag", "team"], &["a tag is KEY=VALUE"]),
    ] {
        let ended = shop.once(arguments);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{parts:?} in {}", ended.stderr);
    }
}
