//! What variables, URLs and times are taken for.

mod common;

use std::process::Command;

use common::{Ended, PROGRAM, end, hold, tool};
use redis_locked_test_support::Server;

async fn with(variables: &[(&str, &str)], arguments: &[&str]) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.env_remove("REDIS_URL").args(arguments);
    command.envs(variables.iter().copied());
    end(command).await
}

#[tokio::test]
async fn a_variable_that_is_empty_or_does_not_apply_means_nothing() {
    let server = Server::start().await;
    hold(&server, "k", "web").await;
    let url = server.url();
    for password in ["", "wache"] {
        let variables = [("REDIS_URL", &*url), ("REDIS_SENTINEL_PASSWORD", password)];
        let ended = with(&variables, &["list"]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{password:?}");
        assert!(ended.out.contains("web"), "{}", ended.out);
    }
    let ended = with(&[("REDIS_URL", "")], &["list", "--url", &url]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    for variables in [&[][..], &[("REDIS_URL", "")]] {
        let ended = with(variables, &["list"]).await;
        assert_eq!(ended.code, 64, "{ended:?}");
        for told in ["--url", "REDIS_URL"] {
            assert!(ended.err.contains(told), "{}", ended.err);
        }
    }
}

#[tokio::test]
async fn an_option_that_does_not_apply_is_an_error() {
    for arguments in [
        &["list", "--sentinel-password", "wache"][..],
        &["list", "--sentinel-user", "ops"],
        &["list", "--sentinel-user", "ops", "--sentinel", "main"],
    ] {
        let variables = [
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("REDIS_SENTINEL_PASSWORD", ""),
        ];
        let ended = with(&variables, arguments).await;
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.err.contains("--sentinel"), "{}", ended.err);
    }
}

#[tokio::test]
async fn a_comma_in_a_password_divides_no_urls() {
    let mut urls = Vec::new();
    let mut servers = Vec::new();
    for password in [",a,redis:,b,", "plain", ","] {
        let server = Server::builder().password(password).start().await;
        hold(&server, "k", "web").await;
        let url = server.url().replace("%2C", ",");
        let ended = tool(&url, &["show", "k"]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{password:?}");
        urls.push(url);
        servers.push(server);
    }
    for between in [",", ", "] {
        let ended = tool(&urls.join(between), &["show", "k", "--quorum"]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert!(ended.out.contains("3/3"), "{}", ended.out);
    }
}

#[tokio::test]
async fn a_time_without_bounds_is_refused_and_panics_nowhere() {
    let server = Server::start().await;
    let run = ["run", "-k", "k", "--renew"];
    let rest = ["--ttl", "5s", "--", "true"];
    let with = async |options: &[&str]| {
        let rest = if options[0] == "--ttl" {
            &rest[2..]
        } else {
            &rest
        };
        tool(&server.url(), &[&run[..], options, rest].concat()).await
    };
    for (option, most) in [
        ("--timeout", "1h"),
        ("--replicas-timeout", "1h"),
        ("--server-timeout", "1h"),
        ("--wait", "3650d"),
        ("--ttl", "3650d"),
        ("--max-hold", "3650d"),
        ("--grace", "2s"),
        ("--min-hold", "1ms"),
    ] {
        let ended = with(&[option, most]).await;
        assert_eq!(ended.code, 0, "{option}: {ended:?}");
        for more in ["18446744073709551615s", "3651d"] {
            let ended = with(&[option, more]).await;
            assert_eq!(ended.code, 64, "{option}: {ended:?}");
            let told = if most == "1h" { "an hour" } else { "ten years" };
            let is_told = ended.err.contains(told) || ended.err.contains("ten years");
            assert!(is_told, "{option}: {}", ended.err);
        }
    }
    let ended = with(&["--retries", "1", "--backoff", "3651d"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
}

#[tokio::test]
async fn a_month_that_was_meant_as_a_minute_is_refused() {
    let server = Server::start().await;
    let run = ["run", "-k", "k", "--ttl", "1M", "--", "true"];
    let ended = tool(&server.url(), &run).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.err.contains("write 1m"), "{}", ended.err);
}
