//! `doctor` reads the DNS records of the sender's domain and prints those that are missing.

use std::collections::BTreeMap;

use hickory_resolver::proto::op::ResponseCode;
use serde_json::{Value, json};
use tests::{
    app::TestApp,
    command::{CommandOutput, manage},
    name_server::NameServer,
    proxy::Action,
};

use crate::doctor::{assert_problem, doctor, finding, operator};

const TOKENS: [&str; 3] = ["aaa", "bbb", "ccc"];
const SPF: &str = "v=spf1 include:amazonses.com ~all";

/// A sender at `example.com`, the identity of SES, and the records of the domain.
struct Sender {
    app: TestApp,
    dns: NameServer,
    env: BTreeMap<String, String>,
}

impl Sender {
    /// Starts with every record that SES's documentation asks for.
    async fn start() -> Self {
        let app = TestApp::builder().start().await;
        let mut env = operator(&app);
        let from = "Example <no-reply@example.com>".to_owned();
        env.insert("MAIL_FROM".to_owned(), from);
        let sender = Self {
            app,
            dns: NameServer::start().await,
            env,
        };
        sender.publish("example.com");
        sender.identities(json!({ "example.com": identity("example.com") }));
        sender
    }

    /// Returns the host for bounces in the region of this test.
    fn mail_exchanger(&self) -> String {
        let region = &self.env["AWS_REGION"];
        format!("feedback-smtp.{region}.amazonses.com")
    }

    fn publish(&self, domain: &str) {
        for token in TOKENS {
            let name = format!("{token}._domainkey.{domain}");
            self.dns
                .cname(&name, &format!("{token}.dkim.amazonses.com"));
        }
        let bounce = format!("bounce.{domain}");
        self.dns.mx(&bounce, 10, &self.mail_exchanger());
        self.dns.txt(&bounce, SPF);
        let dmarc = format!("_dmarc.{domain}");
        self.dns.txt(&dmarc, "v=DMARC1; p=reject");
    }

    /// Gives SES only these identities.
    fn identities(&self, identities: Value) {
        self.app.ses.intercept(move |call| {
            let Some(name) = call.operation.strip_prefix("GET /v2/email/identities/") else {
                return Action::Pass;
            };
            match identities.get(name.replace("%40", "@")) {
                None => Action::error(404, "NotFoundException", "not found"),
                Some(identity) => {
                    let body = identity.to_string();
                    let response = http::Response::builder();
                    Action::Respond(response.body(body.into()).expect("a response"))
                }
            }
        });
    }

    async fn doctor(&self) -> CommandOutput {
        let server = self.dns.address();
        doctor(&format!("--name-server {server}"), &self.env).await
    }
}

/// Describes the verified identity `domain` with a MAIL FROM domain.
fn identity(domain: &str) -> Value {
    json!({
        "IdentityType": "DOMAIN",
        "VerifiedForSendingStatus": true,
        "DkimAttributes": {
            "SigningEnabled": true,
            "Status": "SUCCESS",
            "Tokens": TOKENS,
            "SigningAttributesOrigin": "AWS_SES",
        },
        "MailFromAttributes": {
            "MailFromDomain": format!("bounce.{domain}"),
            "MailFromDomainStatus": "SUCCESS",
            "BehaviorOnMxFailure": "USE_DEFAULT_VALUE",
        },
    })
}

/// Returns `base` with the value at `pointer` replaced.
fn with(mut base: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
    base.pointer_mut(parent).expect("a parent")[key] = value;
    base
}

/// Panics unless `what` is reported in this state with this detail and advice.
fn assert_finding(output: &CommandOutput, what: &str, state: &str, detail: &str, advice: &str) {
    let (found_state, found_detail, found_advice) = finding(output, what);
    assert_eq!(found_state, state, "{what}: {found_detail}");
    assert!(found_detail.contains(detail), "{detail} in {found_detail}");
    assert!(found_advice.contains(advice), "{advice} in {found_advice}");
}

#[tokio::test]
async fn a_domain_with_all_records_passes() {
    let sender = Sender::start().await;
    let output = sender.doctor().await;
    assert_eq!(output.code, 0, "{output:?}");
    for (what, detail) in [
        ("DKIM of example.com", "SES signs"),
        ("MAIL FROM domain bounce.example.com, MX", "points to SES"),
        ("MAIL FROM domain bounce.example.com, SPF", "authorizes SES"),
        (
            "DMARC of example.com",
            "the policy reject at _dmarc.example.com",
        ),
        (
            "DMARC alignment of example.com",
            "DKIM of example.com aligns (relaxed); SPF of bounce.example.com aligns (relaxed)",
        ),
    ] {
        assert_finding(&output, what, "ok", detail, "");
    }
}

#[tokio::test]
async fn missing_records_are_printed_to_be_published() {
    let sender = Sender::start().await;
    sender.dns.remove("bbb._domainkey.example.com");
    sender.dns.remove("_dmarc.example.com");
    sender.dns.remove("bounce.example.com");
    let output = sender.doctor().await;
    for (what, detail, record) in [
        (
            "DKIM",
            "bbb._domainkey.example.com has no CNAME record",
            "\nbbb._domainkey.example.com CNAME bbb.dkim.amazonses.com",
        ),
        (
            "MAIL FROM domain bounce.example.com, MX",
            "SES uses amazonses.com instead",
            format!("\nbounce.example.com MX 10 {}", sender.mail_exchanger()).as_str(),
        ),
        (
            "MAIL FROM domain bounce.example.com, SPF",
            "has no record",
            "\nbounce.example.com TXT \"v=spf1 include:amazonses.com ~all\"",
        ),
        (
            "DMARC of example.com",
            "has no record",
            "\n_dmarc.example.com TXT \"v=DMARC1; p=none\"",
        ),
    ] {
        assert_problem(&output, what, detail, record);
    }
    // The records that exist are not printed again.
    let (_, _, advice) = finding(&output, "DKIM");
    assert_eq!(advice.lines().count(), 2, "{advice}");
    // Nothing says where the organization ends.
    assert!(!output.out.contains("DMARC alignment"), "{output:?}");

    let options = format!("doctor --name-server {}", sender.dns.address());
    let text = manage(&options, &sender.env, "").await.out;
    let lines = "         -> publish:\n            _dmarc.example.com TXT \"v=DMARC1; p=none\"\n";
    assert!(text.contains(lines), "{text}");
}

#[tokio::test]
async fn wrong_records_are_reported() {
    let sender = Sender::start().await;
    let dns = &sender.dns;
    dns.remove("aaa._domainkey.example.com");
    dns.cname("aaa._domainkey.example.com", "aaa.dkim.example.net");
    dns.mx("bounce.example.com", 20, "mx.example.net");
    dns.txt("bounce.example.com", "v=spf1 -all");
    dns.txt("_dmarc.example.com", "v=DMARC1; p=none");
    let output = sender.doctor().await;
    for (what, detail, advice) in [
        (
            "DKIM",
            "leads to aaa.dkim.example.net",
            "CNAME aaa.dkim.amazonses.com",
        ),
        (
            "MAIL FROM domain bounce.example.com, MX",
            "has 2 records",
            "as its only MX record",
        ),
        (
            "MAIL FROM domain bounce.example.com, SPF",
            "has 2 records",
            "as its only SPF record",
        ),
        ("DMARC of example.com", "several records", "all but one"),
    ] {
        assert_problem(&output, what, detail, advice);
    }
    for name in ["bounce.example.com", "_dmarc.example.com"] {
        dns.remove(name);
    }
    dns.mx(
        "bounce.example.com",
        10,
        "feedback-smtp.eu-west-1.amazonses.com",
    );
    dns.txt("bounce.example.com", "v=spf1 mx -all");
    dns.txt(
        "_dmarc.example.com",
        "v=DMARC1; rua=mailto:dmarc@example.com",
    );
    let output = sender.doctor().await;
    for (what, detail, advice) in [
        (
            "MAIL FROM domain bounce.example.com, MX",
            "is feedback-smtp.eu-west-1",
            sender.mail_exchanger().as_str(),
        ),
        (
            "MAIL FROM domain bounce.example.com, SPF",
            "does not authorize SES",
            "\"v=spf1 include:amazonses.com mx -all\"",
        ),
        ("DMARC of example.com", "no valid p=", "p=none"),
    ] {
        assert_problem(&output, what, detail, advice);
    }
}

#[tokio::test]
async fn dkim_of_another_origin_is_checked_in_its_zone() {
    let sender = Sender::start().await;
    let zone = "dkim.eu-central-2.amazonses.com";
    let regional = with(
        identity("example.com"),
        "/DkimAttributes/SigningHostedZone",
        json!(zone),
    );
    sender.identities(json!({ "example.com": regional }));
    let output = sender.doctor().await;
    let record = "aaa._domainkey.example.com CNAME aaa.dkim.eu-central-2.amazonses.com";
    assert_problem(&output, "DKIM", "leads to aaa.dkim.amazonses.com", record);

    // A domain with a key of its own has a selector and a public key.
    let own = with(
        with(
            identity("example.com"),
            "/DkimAttributes/SigningAttributesOrigin",
            json!("EXTERNAL"),
        ),
        "/DkimAttributes/Tokens",
        json!(["key1"]),
    );
    sender.identities(json!({ "example.com": own }));
    let output = sender.doctor().await;
    assert_problem(
        &output,
        "DKIM",
        "no TXT record with a public key",
        "key1._domainkey.example.com TXT",
    );
    // Longer than one string of a TXT record, and than a response over UDP.
    let key = format!("v=DKIM1; k=rsa; p={}", "MIIB".repeat(500));
    sender.dns.txt("keys.example.net", &key);
    sender
        .dns
        .cname("key1._domainkey.example.com", "keys.example.net");
    assert_finding(&sender.doctor().await, "DKIM", "ok", "SES signs", "");
    let over_tcp = sender.dns.queries("tcp");
    assert!(
        over_tcp.contains(&"key1._domainkey.example.com".to_owned()),
        "{over_tcp:?}"
    );
}

#[tokio::test]
async fn a_chain_of_aliases_is_followed_and_a_loop_is_not() {
    let sender = Sender::start().await;
    let dns = &sender.dns;
    dns.remove("aaa._domainkey.example.com");
    dns.cname("aaa._domainkey.example.com", "aaa.hosted.example.net");
    dns.cname("aaa.hosted.example.net", "AAA.dkim.amazonses.com");
    assert_finding(&sender.doctor().await, "DKIM", "ok", "SES signs", "");

    dns.remove("aaa.hosted.example.net");
    dns.cname("aaa.hosted.example.net", "aaa._domainkey.example.com");
    assert_problem(
        &sender.doctor().await,
        "DKIM",
        "aaa._domainkey.example.com",
        "CNAME aaa.dkim",
    );
}

#[tokio::test]
async fn the_status_in_ses_counts_too() {
    let sender = Sender::start().await;
    for (pointer, value, what, state, detail) in [
        (
            "/DkimAttributes/SigningEnabled",
            json!(false),
            "DKIM",
            "problem",
            "signing is off",
        ),
        (
            "/DkimAttributes/Status",
            json!("PENDING"),
            "DKIM",
            "problem",
            "has not found them yet",
        ),
        (
            "/DkimAttributes/Status",
            json!("FAILED"),
            "DKIM",
            "problem",
            "has given up looking",
        ),
        (
            "/DkimAttributes/Status",
            json!("TEMPORARY_FAILURE"),
            "DKIM",
            "advice",
            "failed to read",
        ),
        (
            "/DkimAttributes/Status",
            json!("NOT_STARTED"),
            "DKIM",
            "problem",
            "is not set up",
        ),
        (
            "/MailFromAttributes/MailFromDomainStatus",
            json!("PENDING"),
            "MAIL FROM",
            "advice",
            "SES uses amazonses.com instead",
        ),
        (
            "/MailFromAttributes/MailFromDomainStatus",
            json!("FAILED"),
            "MAIL FROM",
            "problem",
            "has given up looking",
        ),
    ] {
        let identity = with(identity("example.com"), pointer, value);
        sender.identities(json!({ "example.com": identity }));
        let output = sender.doctor().await;
        assert_finding(&output, what, state, detail, "");
        // One of the two still passes.
        let alignment = if what == "DKIM" { "advice" } else { "ok" };
        assert_finding(&output, "DMARC alignment", alignment, "does not pass", "");
    }
}

#[tokio::test]
async fn without_a_mail_from_domain_dmarc_depends_on_dkim() {
    let sender = Sender::start().await;
    let mut default = identity("example.com");
    default["MailFromAttributes"] = json!({ "BehaviorOnMxFailure": "USE_DEFAULT_VALUE" });
    sender.identities(json!({ "example.com": default }));
    let output = sender.doctor().await;
    assert_eq!(output.code, 0, "{output:?}");
    let records = format!(
        "publish:\nbounce.example.com MX 10 {}\nbounce.example.com TXT \"{SPF}\"",
        sender.mail_exchanger()
    );
    assert_finding(
        &output,
        "MAIL FROM domain",
        "advice",
        "DKIM alone",
        &records,
    );
    assert_finding(&output, "DMARC alignment", "ok", "SPF does not pass", "");

    sender.dns.remove("ccc._domainkey.example.com");
    let output = sender.doctor().await;
    assert_problem(&output, "DMARC alignment", "so DMARC fails", "fix DKIM");
}

#[tokio::test]
async fn an_address_may_have_a_mail_from_domain_of_its_own() {
    let sender = Sender::start().await;
    let own = with(
        identity("example.com"),
        "/MailFromAttributes/MailFromDomain",
        json!("own.example.com"),
    );
    sender.identities(json!({
        "no-reply@example.com": own,
        "example.com": identity("example.com"),
    }));
    let output = sender.doctor().await;
    assert_problem(
        &output,
        "MAIL FROM domain own.example.com, MX",
        "no record",
        "own.example.com MX",
    );
}

#[tokio::test]
async fn a_text_in_several_strings_is_joined_and_printed_without_control_characters() {
    let sender = Sender::start().await;
    let dns = &sender.dns;
    let networks = (0..20).map(|network| format!("ip4:192.0.2.{network}/32"));
    let networks = networks.collect::<Vec<_>>().join(" ");
    assert!(networks.len() > 255);
    dns.remove("bounce.example.com");
    dns.mx("bounce.example.com", 10, &sender.mail_exchanger());
    dns.txt(
        "bounce.example.com",
        &format!("v=spf1 {networks} include:amazonses.com ~all"),
    );
    let what = "MAIL FROM domain bounce.example.com, SPF";
    assert_finding(&sender.doctor().await, what, "ok", "authorizes SES", "");

    dns.remove("bounce.example.com");
    dns.txt("bounce.example.com", "v=spf1 \u{1b}[2Jmx\n ~all");
    let (_, _, advice) = finding(&sender.doctor().await, what);
    assert!(
        advice.ends_with("\"v=spf1 include:amazonses.com [2jmx ~all\""),
        "{advice:?}"
    );
}

#[tokio::test]
async fn strict_alignment_requires_the_sender_s_own_domain() {
    let mut sender = Sender::start().await;
    let from = "no-reply@app.example.com".to_owned();
    sender.env.insert("MAIL_FROM".to_owned(), from);
    // A parameter of the stack names the identity.
    sender
        .env
        .insert("NEW_SES_IDENTITY".to_owned(), "example.com".to_owned());
    // The parent's identity and record apply, and its organization is the sender's.
    let output = sender.doctor().await;
    assert_finding(&output, "SES identity", "ok", "example.com is verified", "");
    assert_finding(&output, "DKIM of example.com", "ok", "SES signs", "");
    assert_finding(
        &output,
        "DMARC of app.example.com",
        "ok",
        "at _dmarc.example.com",
        "",
    );
    let detail = "DKIM of example.com aligns (relaxed); SPF of bounce.example.com aligns (relaxed)";
    assert_finding(
        &output,
        "DMARC alignment of app.example.com",
        "ok",
        detail,
        "",
    );

    sender.dns.remove("_dmarc.example.com");
    sender.dns.txt(
        "_dmarc.example.com",
        "v=DMARC1; p=quarantine; adkim=s; aspf=s",
    );
    let output = sender.doctor().await;
    let detail = "DKIM of example.com does not align (strict)";
    assert_problem(&output, "DMARC alignment", detail, "adkim=r");

    // A record of the subdomain's own keeps it in the organization.
    sender
        .dns
        .txt("_dmarc.app.example.com", "v=DMARC1; p=none; psd=n");
    let output = sender.doctor().await;
    assert_finding(
        &output,
        "DMARC of app",
        "advice",
        "the policy none",
        "p=quarantine",
    );
    let detail = "DKIM of example.com does not align (relaxed)";
    assert_problem(&output, "DMARC alignment", detail, "own domain");

    // A missing record belongs at the domain that SES signs as.
    sender.dns.remove("_dmarc.app.example.com");
    sender.dns.remove("_dmarc.example.com");
    let output = sender.doctor().await;
    assert_problem(
        &output,
        "DMARC of app",
        "no record",
        "\n_dmarc.example.com TXT",
    );
}

#[tokio::test]
async fn an_address_at_a_mailbox_provider_cannot_pass() {
    let mut sender = Sender::start().await;
    let from = "someone@gmail.com".to_owned();
    sender.env.insert("MAIL_FROM".to_owned(), from);
    sender.identities(json!({ "someone@gmail.com": { "VerifiedForSendingStatus": true } }));
    let output = sender.doctor().await;
    assert_finding(&output, "SES identity", "ok", "is verified", "");
    assert_problem(
        &output,
        "DKIM of gmail.com",
        "none can pass DMARC",
        "a domain that you control",
    );
    assert_eq!(sender.dns.queries("udp"), Vec::<String>::new());
}

#[tokio::test]
async fn an_internationalized_domain_is_checked_in_punycode() {
    let mut sender = Sender::start().await;
    let from = "Bücher <hallo@bücher.example>".to_owned();
    sender.env.insert("MAIL_FROM".to_owned(), from);
    sender.identities(json!({ "xn--bcher-kva.example": identity("xn--bcher-kva.example") }));
    let output = sender.doctor().await;
    let record = "_dmarc.xn--bcher-kva.example TXT";
    assert_problem(
        &output,
        "DMARC of xn--bcher-kva.example",
        "no record",
        record,
    );
    sender.publish("xn--bcher-kva.example");
    assert_eq!(sender.doctor().await.code, 0);
}

#[tokio::test]
async fn a_name_server_that_fails_is_a_warning() {
    let sender = Sender::start().await;
    sender
        .dns
        .fail("aaa._domainkey.example.com", ResponseCode::ServFail);
    sender.dns.fail("bounce.example.com", ResponseCode::Refused);
    sender.dns.ignore("_dmarc.example.com");
    let output = sender.doctor().await;
    assert_eq!(output.code, 0, "{output:?}");
    for (what, detail) in [
        (
            "DKIM",
            "could not ask the DNS for aaa._domainkey.example.com CNAME",
        ),
        (
            "MAIL FROM domain bounce.example.com, MX",
            "for bounce.example.com MX",
        ),
        (
            "MAIL FROM domain bounce.example.com, SPF",
            "for bounce.example.com TXT",
        ),
        ("DMARC of example.com", "for _dmarc.example.com TXT"),
    ] {
        assert_finding(&output, what, "advice", detail, "--name-server");
    }
    // Nothing listens on this port.
    let output = doctor("--name-server 127.0.0.1:1", &sender.env).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_finding(
        &output,
        "DMARC of example.com",
        "advice",
        "could not ask the DNS",
        "",
    );
    manage("doctor --name-server dns.example", &sender.env, "")
        .await
        .assert_failed(2, &["'dns.example'"]);
}

#[tokio::test]
async fn the_local_system_needs_no_dns() {
    let mut sender = Sender::start().await;
    sender.app.ses.pass_all();
    // The local SES signs nothing, so only the domain's policy counts.
    let output = sender.doctor().await;
    assert_finding(&output, "DMARC of example.com", "ok", "reject", "");
    assert!(!output.out.contains("DKIM"), "{output:?}");

    let before = sender.dns.queries("udp").len();
    sender.env.remove("MAIL_FROM");
    let output = sender.doctor().await;
    assert!(!output.out.contains("DMARC"), "{output:?}");
    assert_eq!(sender.dns.queries("udp").len(), before);
}
