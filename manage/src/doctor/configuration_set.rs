//! Checks of the SES configuration set: whether it exists, tracks recipients and reports deliveries.

use aws_sdk_sesv2::{
    Client,
    error::ProvideErrorMetadata,
    operation::get_configuration_set::GetConfigurationSetOutput,
    types::{EventDestination, EventType, FeatureStatus, HttpsPolicy},
};

use super::ses::call_failed;
use crate::finding::Finding;

/// Events that the mailer records.
const RECORDED: [EventType; 5] = [
    EventType::Bounce,
    EventType::Complaint,
    EventType::Delivery,
    EventType::DeliveryDelay,
    EventType::Reject,
];

/// Checks the configuration set `name`.
pub(super) async fn check(ses: &Client, name: &str) -> Vec<Finding> {
    let subject = format!("SES configuration set {name}");
    let request = ses.get_configuration_set().configuration_set_name(name);
    let set = match request.send().await {
        Ok(set) => set,
        Err(error) if error.code() == Some("NotFoundException") => {
            return vec![Finding::problem(
                subject,
                "does not exist, so SES refuses every email",
                "create it, or unset SES_CONFIGURATION_SET",
            )];
        }
        Err(error) => return vec![call_failed(&subject, "GetConfigurationSet", &error)],
    };
    let exists = Finding::ok(&subject, "exists");
    let request = ses.get_configuration_set_event_destinations();
    let response = request.configuration_set_name(name).send().await;
    match response {
        Ok(response) => {
            let mut destinations = response.event_destinations.unwrap_or_default();
            destinations.retain(EventDestination::enabled);
            let tracking = tracking_finding(&subject, &set, &destinations);
            vec![exists, tracking, events_finding(&subject, &destinations)]
        }
        Err(error) => {
            let operation = "GetConfigurationSetEventDestinations";
            let subject = format!("{subject}, events");
            vec![exists, call_failed(&subject, operation, &error)]
        }
    }
}

fn tracking_finding(
    set: &str,
    options: &GetConfigurationSetOutput,
    destinations: &[EventDestination],
) -> Finding {
    let subject = format!("{set}, tracking");
    let engagement = options
        .vdm_options()
        .and_then(|vdm| vdm.dashboard_options())
        .and_then(|dashboard| dashboard.engagement_metrics());
    let tracked = |event: EventType| {
        engagement == Some(&FeatureStatus::Enabled)
            || destinations
                .iter()
                .any(|one| one.matching_event_types().contains(&event))
    };
    let tracked = match (tracked(EventType::Click), tracked(EventType::Open)) {
        (false, false) => return Finding::ok(subject, "is off"),
        (true, false) => "clicks",
        (false, true) => "opens",
        (true, true) => "clicks and opens",
    };
    Finding::advice(
        subject,
        format!(
            "is on for {tracked}, through {}; the emails of this system opt out of it",
            tracking_host(options)
        ),
        "for sign-in email, use a set that tracks neither: with a rewritten link, the token would \
         reach the tracking host, and only the opt-out prevents that",
    )
}

fn tracking_host(options: &GetConfigurationSetOutput) -> String {
    options.tracking_options().map_or_else(
        || "a host of AWS".to_owned(),
        |tracking| {
            let host = tracking.custom_redirect_domain();
            let policy = tracking
                .https_policy()
                .map_or("OPTIONAL", HttpsPolicy::as_str);
            format!("{host} (HTTPS: {policy})")
        },
    )
}

fn events_finding(set: &str, destinations: &[EventDestination]) -> Finding {
    let subject = format!("{set}, events");
    let reported: Vec<&EventType> = destinations
        .iter()
        .filter(|one| one.event_bridge_destination().is_some())
        .flat_map(EventDestination::matching_event_types)
        .collect();
    let missing: Vec<&str> = RECORDED
        .iter()
        .filter(|event| !reported.contains(event))
        .map(EventType::as_str)
        .collect();
    if missing.is_empty() {
        return Finding::ok(subject, "reach EventBridge");
    }
    Finding::advice(
        subject,
        format!(
            "of some types do not reach EventBridge, so the mailer cannot record them: {}",
            missing.join(", ")
        ),
        "add the default event bus to the set as an event destination of these types",
    )
}
