//! Who may ask, how much, and what a browser may do with the answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use stockpulse::config::api::ApiOptions;

use super::table::Table;
use super::{ask, get, with_server};

#[test]
fn a_token_is_asked_for_and_never_shown() {
    let table = Table::new();
    let options = ApiOptions {
        token: Some("open-sesame".to_string().into()),
        ..table.options()
    };
    with_server(options, |address| {
        for path in ["/", "/assets/app.js", "/api/v1/ping"] {
            assert_eq!(ask(address, "GET", path, &[], b"").status, 200, "{path}");
        }
        for path in [
            "/api/v1/status",
            "/api/v1/candles?symbol=A",
            "/api/v1/symbols",
            "/api/v1/stream?symbol=A",
            "/udf/config",
            "/nowhere",
        ] {
            for headers in [
                &[][..],
                &[("Authorization", "Bearer open-sesam")],
                &[("Authorization", "Bearer open-sesame2")],
                &[("Authorization", "Bearer ")],
                &[("Authorization", "Basic b3Blbi1zZXNhbWU=")],
            ] {
                let answer = ask(address, "GET", path, headers, b"");
                assert_eq!(answer.status, 401, "{path} {headers:?}");
                assert!(
                    answer.head.contains("www-authenticate: bearer"),
                    "{}",
                    answer.head
                );
                let body = String::from_utf8(answer.body).unwrap();
                assert!(
                    body.contains("API_TOKEN") && !body.contains("sesame"),
                    "{body}"
                );
            }
        }
        for scheme in ["Bearer", "bearer"] {
            let token = format!("{scheme} open-sesame");
            let answer = ask(
                address,
                "GET",
                "/api/v1/status",
                &[("Authorization", &token)],
                b"",
            );
            assert_eq!(answer.status, 200);
            assert!(!String::from_utf8(answer.body).unwrap().contains("sesame"));
        }
    });
}

#[test]
fn pages_may_load_nothing_from_elsewhere_and_others_may_not_ask() {
    let table = Table::new();
    let options = ApiOptions {
        allow_origin: vec!["https://charts.example".to_string()],
        ..table.options()
    };
    with_server(options, |address| {
        for path in ["/", "/assets/style.css", "/api/v1/ping", "/nowhere"] {
            let answer = ask(
                address,
                "GET",
                path,
                &[("Origin", "https://evil.example")],
                b"",
            );
            for header in [
                "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'",
                "frame-ancestors 'none'",
                "x-content-type-options: nosniff",
                "referrer-policy: no-referrer",
            ] {
                assert!(
                    answer.head.contains(header),
                    "{path}: no {header} in {}",
                    answer.head
                );
            }
            assert!(
                !answer.head.contains("access-control-allow-origin"),
                "{}",
                answer.head
            );
        }
        let origin = ("Origin", "https://charts.example");
        let answer = ask(address, "GET", "/udf/time", &[origin], b"");
        assert!(
            answer
                .head
                .contains("access-control-allow-origin: https://charts.example"),
            "{}",
            answer.head
        );
        let asked_first = ask(address, "OPTIONS", "/udf/config", &[origin], b"");
        assert_eq!(asked_first.status, 204);
        assert!(
            asked_first
                .head
                .contains("access-control-allow-headers: authorization"),
            "{}",
            asked_first.head
        );
    });
}

#[test]
fn the_page_names_nothing_but_this_server() {
    with_server(Table::new().options(), |address| {
        let page = String::from_utf8(ask(address, "GET", "/", &[], b"").body).unwrap();
        for attribute in ["src=\"", "href=\""] {
            for link in page.split(attribute).skip(1) {
                let link = link.split('"').next().unwrap();
                let is_attribution = link == "https://www.tradingview.com/";
                assert!(link.starts_with('/') || is_attribution, "{link}");
                if link.starts_with('/') && link != "/" {
                    assert_eq!(ask(address, "GET", link, &[], b"").status, 200, "{link}");
                }
            }
        }
        assert!(
            !page.contains("style=") && !page.contains("<script>") && !page.contains("onclick")
        );
    });
}

#[test]
fn bodies_heads_and_connections_have_limits() {
    let table = Table::new();
    let options = ApiOptions {
        max_connections: 3,
        sql: Some(stockpulse::config::api::SqlLimits {
            timeout: Duration::from_secs(5),
            rows: 10,
            memory_bytes: 1 << 20,
        }),
        ..table.options()
    };
    with_server(options, |address| {
        let text = [("Content-Type", "text/plain")];
        let large = vec![b' '; 65 << 10];
        let answer = ask(address, "POST", "/api/v1/sql", &text, &large);
        assert_eq!(answer.status, 413);
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert!(body["error"].is_string());
        let long = format!("/api/v1/candles?symbol={}", "A".repeat(1000));
        assert_eq!(get(address, &long).0, 400);
        let longer = format!("/api/v1/candles?symbol={}", "A".repeat(100_000));
        let answer = ask(address, "GET", &longer, &[], b"");
        assert!([414, 431].contains(&answer.status), "{}", answer.status);

        // Three that say nothing: the fourth waits until one of them goes.
        let mut silent: Vec<TcpStream> = (0..3)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        std::thread::sleep(Duration::from_millis(200));
        let mut waiting = TcpStream::connect(address).unwrap();
        write!(
            waiting,
            "GET /api/v1/ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        waiting
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        assert!(
            waiting.read(&mut [0; 1]).is_err(),
            "it was answered beyond the limit"
        );
        silent.pop();
        waiting
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let mut answer = String::new();
        waiting.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    });
}

#[test]
fn every_path_is_described_and_nothing_else() {
    let routes = include_str!("../../../src/api/routes.rs");
    let mut served: Vec<&str> = (routes.split(".route(\"").skip(1))
        .filter_map(|rest| rest.split('"').next())
        .filter(|path| *path != "/" && !path.starts_with("/assets/"))
        .collect();
    served.sort_unstable();
    with_server(Table::new().options(), move |address| {
        let (status, document) = get(address, "/api/v1/openapi.json");
        assert_eq!(status, 200);
        let paths = document["paths"].as_object().unwrap();
        let mut described: Vec<&str> = paths.keys().map(String::as_str).collect();
        described.sort_unstable();
        assert_eq!(described, served);
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    });
}
