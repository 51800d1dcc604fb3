//! The address by which each kind of gateway identifies the client.

use serde_json::{Value, json};
use tests::{
    app::TestApp,
    gateway,
    lambda::{Function, sample_event, with_variables},
    within_one_rate_window,
};

/// Returns the statuses of requests with the event `sample` after each of `changes`. The limit per
/// client is one.
async fn statuses(sample: &str, changes: &[(&str, Value)]) -> Vec<u64> {
    within_one_rate_window(86_400, async || {
        let app = TestApp::with_ada_and_manual_delivery().await;
        statuses_of(&app, sample, changes).await
    })
    .await
}

async fn statuses_of(app: &TestApp, sample: &str, changes: &[(&str, Value)]) -> Vec<u64> {
    let limits = [("CLIENT_LIMIT", "1"), ("CLIENT_WINDOW_SECONDS", "86400")];
    let request = Function::start("request", &with_variables(&app.environment(), &limits));
    let mut statuses = Vec::new();
    for (pointer, value) in changes {
        let mut event = sample_event(sample);
        *event
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer} in {sample}")) = value.clone();
        let response = request.invoke(&event).await.expect("a response");
        if gateway::parts(&response).0 == 429 {
            gateway::assert_problem(&response, 429, "rate_limited");
            assert!(
                gateway::header(&response, "retry-after")
                    .parse::<u32>()
                    .is_ok_and(|seconds| seconds > 0),
                "{response}"
            );
        }
        statuses.push(gateway::parts(&response).0);
    }
    statuses
}

#[tokio::test]
async fn behind_a_load_balancer_the_last_forwarded_address_is_the_client() {
    let pointer = "/headers/x-forwarded-for";
    let events = [
        "10.0.0.1, 203.0.113.9",
        "10.0.0.2, 203.0.113.9",
        "203.0.113.9",
        "evil, 203.0.113.9:4711",
        "203.0.113.9, 203.0.113.10",
        "",
    ];
    let events = events.map(|addresses| (pointer, json!(addresses)));
    assert_eq!(
        statuses("request-alb.json", &events).await,
        [200, 429, 429, 429, 200, 200]
    );
}

#[tokio::test]
async fn behind_a_gateway_headers_do_not_name_the_client() {
    let pointer = "/headers/x-forwarded-for";
    let events = ["192.0.2.1", "198.51.100.1", "198.51.100.2, 192.0.2.9", ""]
        .map(|address| (pointer, json!(address)));
    assert_eq!(
        statuses("request.json", &events).await,
        [200, 429, 429, 429]
    );
    let rest = events.map(|(_, address)| ("/headers/X-Forwarded-For", address));
    assert_eq!(
        statuses("request-rest.json", &rest).await,
        [200, 429, 429, 429]
    );
}

#[tokio::test]
async fn an_ipv6_network_is_one_client() {
    let pointer = "/requestContext/http/sourceIp";
    let addresses = [
        "2001:db8:1:2:3:4:5:6",
        "2001:db8:1:2::1",
        "2001:0db8:0001:0002:ffff::",
        "2001:db8:1:3::1",
    ];
    let events = addresses.map(|address| (pointer, json!(address)));
    assert_eq!(
        statuses("request-function-url.json", &events).await,
        [200, 429, 429, 200]
    );
}
