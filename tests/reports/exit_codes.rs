//! The option `--fail-on`.

use super::Shop;

#[test]
fn fail_on_says_which_outcomes_count() {
    let shop = Shop::new("fail-on");
    let code = |only: &[&str], fail_on: Option<&str>| {
        let only = only.iter().flat_map(|title| ["--only", title]);
        let fail_on = fail_on.into_iter().flat_map(|value| ["--fail-on", value]);
        shop.once(&only.chain(fail_on).collect::<Vec<_>>()).code
    };
    let (passed, failed, broken) = ("Front page", "Checkout*", "Stock");
    for (only, default, on_broken) in
        [(&[passed][..], 0, 0), (&[passed, failed], 1, 0), (&[passed, broken], 3, 3), (&[failed, broken], 3, 3)]
    {
        let codes = [None, Some("failed"), Some("broken"), Some("none")].map(|fail_on| code(only, fail_on));
        assert_eq!(codes, [default, default, on_broken, 0], "{only:?}");
    }
}

#[test]
fn errors_of_the_program_itself_always_count() {
    let shop = Shop::new("fail-on-none");
    assert_eq!(shop.once(&["--fail-on", "none", "--only", "nothing"]).code, 2);
    let unreachable = run_with_dsn(&shop, &["--fail-on", "none", "--only", "Front page"]);
    assert_eq!(unreachable.code, 3, "{}", unreachable.stderr);
    assert!(unreachable.stderr.contains("Sentry has not accepted everything"), "{}", unreachable.stderr);
}

/// Runs `once` with a Sentry that rejects everything.
fn run_with_dsn(shop: &Shop, arguments: &[&str]) -> crate::support::CommandOutput {
    let sentry =
        crate::support::target::Target::responding(|_| crate::support::target::status_response("403 Forbidden"));
    let dsn = format!("http://key@127.0.0.1:{}/1", sentry.port);
    crate::support::run_command(shop.command().env("SENTRY_DSN", dsn).args(arguments), "")
}
