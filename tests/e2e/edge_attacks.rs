//! Attacks of docs/security.md on a system behind an edge. The number in a test's name is the
//! attack's row.

use tests::{
    app::{ADA, GOOD_PASSWORD, TestApp},
    builder::Builder,
    gateway,
    http::{CHANGE_PASSWORD, FORGOT_PASSWORD, FORM, HttpResponse, JSON, form, send},
    lambda::{Function, sample_event, with_variables},
    within_one_rate_window,
};

use http::Method;
use serde_json::{Value, json};

const OLD: &str = "old-4f1c8a9e2b7d6035c1e8f4a9b2d7065e";
const NEW: &str = "new_9b2d7065e4f1c8a9e2b7d6035c1e8f4a";
const SECRET_HEADER: &str = "x-origin-verify";
const ADDRESS_HEADER: &str = "cloudfront-viewer-address";

/// Returns a builder of a system behind an edge with `secrets`, which no log line may contain.
fn behind_an_edge(secrets: &str) -> Builder {
    TestApp::builder()
        .with_ada()
        .manual_delivery()
        .set("ORIGIN_SECRET", secrets)
        .set("CLIENT_ADDRESS_HEADER", "CloudFront-Viewer-Address")
}

async fn start(builder: Builder) -> TestApp {
    let app = builder.start().await;
    for secret in [OLD, NEW] {
        app.secrets.add(secret);
    }
    app
}

async fn request(app: &TestApp, headers: &[(&str, &str)]) -> HttpResponse {
    let headers = [headers, &[("content-type", JSON)]].concat();
    let body = json!({ "email": ADA }).to_string();
    send(Method::POST, &app.url(FORGOT_PASSWORD), &headers, body).await
}

/// Returns the statuses of requests with each of `headers`. The limit per client is one.
async fn statuses(builder: impl Fn() -> Builder, headers: &[&[(&str, &str)]]) -> Vec<u16> {
    within_one_rate_window(86_400, async || {
        let limited = builder()
            .set("CLIENT_LIMIT", "1")
            .set("CLIENT_WINDOW_SECONDS", "86400");
        let app = start(limited).await;
        let mut statuses = Vec::new();
        for headers in headers {
            statuses.push(request(&app, headers).await.status.as_u16());
        }
        statuses
    })
    .await
}

#[tokio::test]
async fn attack_27_a_client_address_header_does_not_count_without_the_secret() {
    let headers = ["198.51.100.1:1", "198.51.100.2:2", "[2001:db8::1]:3"]
        .map(|address| [(ADDRESS_HEADER, address), (SECRET_HEADER, NEW)]);
    let headers = headers.each_ref().map(|pair| &pair[..]);
    let without_edge = || TestApp::builder().with_ada().manual_delivery();
    assert_eq!(statuses(without_edge, &headers).await, [200, 429, 429]);
    // A wrong secret gets no further than no secret.
    let with_edge = || behind_an_edge(OLD);
    assert_eq!(statuses(with_edge, &headers).await, [403, 403, 403]);
}

#[tokio::test]
async fn attack_27_through_the_edge_every_viewer_is_a_client_and_garbage_shares_one() {
    let secret = (SECRET_HEADER, NEW);
    let viewer = |address| [secret, (ADDRESS_HEADER, address)];
    let viewers = [
        viewer("198.51.100.1:46532"),
        viewer("198.51.100.1:46533"),
        viewer("198.51.100.2:46532"),
        viewer("2001:db8:1:2::9:46532"),
        viewer("2001:db8:1:2::a:8080"),
        viewer("[2001:db8:1:3::9]:46532"),
        viewer("garbage"),
        viewer("198.51.100.3"),
        viewer("198.51.100.3:1, 198.51.100.4:2"),
    ];
    let repeated = [
        secret,
        (ADDRESS_HEADER, "198.51.100.5:1"),
        (ADDRESS_HEADER, "198.51.100.6:1"),
    ];
    let missing = [secret, ("x-forwarded-for", "198.51.100.7")];
    let headers = viewers.iter().map(|pair| &pair[..]);
    let headers: Vec<_> = headers.chain([&repeated[..], &missing]).collect();
    assert_eq!(
        statuses(|| behind_an_edge(NEW), &headers).await,
        [200, 429, 200, 200, 429, 200, 200, 429, 429, 429, 429]
    );
}

#[tokio::test]
async fn attack_28_the_api_is_closed_without_the_secret() {
    let app = start(behind_an_edge(NEW).set("CORS_ORIGINS", "https://app.example.com")).await;
    let secret = (SECRET_HEADER, NEW);
    for path in [
        FORGOT_PASSWORD,
        CHANGE_PASSWORD,
        "/.well-known/change-password",
    ] {
        let preflight = [
            ("origin", "https://app.example.com"),
            ("access-control-request-method", "POST"),
        ];
        for (method, headers, status) in [
            (Method::GET, &[][..], 200),
            (Method::HEAD, &[], 200),
            (Method::POST, &[("content-type", JSON)], 400),
            (Method::OPTIONS, &preflight, 204),
            (Method::PUT, &[], 405),
            (Method::DELETE, &[], 405),
        ] {
            let is_well_known = path.starts_with("/.well-known");
            if is_well_known && method != Method::GET {
                continue;
            }
            let status = if is_well_known { 302 } else { status };
            let refused = send(method.clone(), &app.url(path), headers, "{}").await;
            if method == Method::HEAD {
                assert_eq!((refused.status.as_u16(), refused.body.len()), (403, 0));
                refused.assert_security_headers();
            } else {
                app.assert_refused(&refused, 403, "forbidden");
            }
            let admitted = [headers, &[secret]].concat();
            let admitted = send(method.clone(), &app.url(path), &admitted, "{}").await;
            assert_eq!(admitted.status.as_u16(), status, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn attack_28_no_other_secret_opens_the_api() {
    let app = start(behind_an_edge(NEW)).await;
    let both = format!("{OLD},{NEW}");
    for headers in [
        &[(SECRET_HEADER, OLD)][..],
        &[(SECRET_HEADER, "")],
        &[(SECRET_HEADER, &NEW[..35])],
        &[(SECRET_HEADER, &both)],
        &[(SECRET_HEADER, NEW), (SECRET_HEADER, OLD)],
        &[(SECRET_HEADER, OLD), (SECRET_HEADER, NEW)],
        &[(SECRET_HEADER, NEW), (SECRET_HEADER, NEW)],
        &[("x-origin-verify-2", NEW), ("authorization", NEW)],
    ] {
        app.assert_refused(&request(&app, headers).await, 403, "forbidden");
    }
    request(&app, &[(SECRET_HEADER, NEW)]).await.assert_worked();
}

#[tokio::test]
async fn attack_28_a_retired_secret_stops_working_and_until_then_both_do() {
    for (setting, old, new) in [
        (OLD.to_owned(), 200, 403),
        (format!("{OLD},{NEW}"), 200, 200),
        (NEW.to_owned(), 403, 200),
    ] {
        let app = start(behind_an_edge(&setting)).await;
        for (secret, status) in [(OLD, old), (NEW, new)] {
            let response = request(&app, &[(SECRET_HEADER, secret)]).await;
            assert_eq!(response.status, status, "{setting}: {secret}");
        }
    }
}

#[tokio::test]
async fn attack_28_every_kind_of_gateway_is_closed() {
    let app = start(behind_an_edge(NEW)).await;
    for (function, status) in [("request", 200), ("confirm", 400)] {
        let environment = with_variables(&app.environment(), &[("ORIGIN_SECRET", NEW)]);
        let process = Function::start(function, &environment);
        for kind in ["", "-rest", "-function-url", "-alb"] {
            let sample = sample_event(&format!("{function}{kind}.json"));
            let invoke = async |value: Option<&str>| {
                let mut event = sample.clone();
                if let Some(value) = value {
                    add_header(&mut event, SECRET_HEADER, value);
                }
                process.invoke(&event).await.expect("a response")
            };
            app.dynamodb.clear_calls();
            // An HTTP API joins repeated headers with a comma.
            for value in [None, Some(OLD), Some(&format!("{NEW},{NEW}"))] {
                gateway::assert_problem(&invoke(value).await, 403, "forbidden");
            }
            assert_eq!(app.dynamodb.take_operations(), [""; 0], "{function}{kind}");
            let admitted = invoke(Some(NEW)).await;
            assert_eq!(gateway::parts(&admitted).0, status, "{function}{kind}");
        }
        app.secrets.assert_absent_from(&process.logs());
    }
}

#[tokio::test]
async fn the_canary_passes_with_the_secret_of_its_stack() {
    let app = start(behind_an_edge(NEW)).await;
    let process = Function::start("request", &app.environment());
    let mut event = sample_event("request-canary.json");
    let without = process.invoke(&event).await.expect("a response");
    gateway::assert_problem(&without, 403, "forbidden");
    add_header(&mut event, SECRET_HEADER, NEW);
    gateway::assert_worked(&process.invoke(&event).await.expect("a response"));
}

fn add_header(event: &mut Value, name: &str, value: &str) {
    for (field, value) in [
        ("headers", json!(value)),
        ("multiValueHeaders", json!([value])),
    ] {
        if let Some(headers) = event[field].as_object_mut() {
            headers.insert(name.to_owned(), value);
        }
    }
}

#[tokio::test]
async fn a_browser_that_bypasses_the_edge_gets_a_page_in_its_language() {
    let app = start(behind_an_edge(NEW)).await;
    let fields = form(&[("email", ADA), ("new_password", GOOD_PASSWORD)]);
    for path in [FORGOT_PASSWORD, CHANGE_PASSWORD] {
        for (method, body) in [(Method::GET, String::new()), (Method::POST, fields.clone())] {
            for (language, title) in [
                ("en", "This page is not available here"),
                ("de", "Diese Seite ist hier nicht verfügbar"),
                ("es", "Esta página no está disponible aquí"),
                ("fr", "Cette page n’est pas disponible ici"),
                ("pt-BR", "Esta página não está disponível aqui"),
                ("ar", "هذه الصفحة غير متاحة هنا"),
            ] {
                let headers = [
                    ("accept", "text/html"),
                    ("accept-language", language),
                    ("content-type", FORM),
                ];
                let response = send(method.clone(), &app.url(path), &headers, body.clone()).await;
                assert_eq!(response.status, 403);
                response.assert_security_headers();
                assert!(response.header("content-security-policy").is_some());
                let page = response.text();
                assert!(page.contains(&format!("<h1 tabindex=\"-1\" autofocus>{title}</h1>")));
                assert!(!page.contains("<form"), "{page}");
            }
        }
    }
    assert_eq!(app.dynamodb.take_operations(), [""; 0]);
}
