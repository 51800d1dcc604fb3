"""edge.yaml: the values that its parameters accept and refuse, and its agreement with the functions."""

import re

import pytest

import template
from deployed import CHANGE, FORGOT, Deployment
from fakecloud import Fakecloud
from template import ROOT, accepts, broken_rules, values_with

EDGE = template.load("edge.yaml")
PARAMETERS = EDGE["Parameters"]
CHOSEN = {"ApiDomain": "a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com", "OriginSecret": "0" * 32}
DOMAIN = {
    "DomainName": "account.example.com",
    "CertificateArn": "arn:aws:acm:us-east-1:123456789012:certificate/6f0e6a4e-0000",
}
DISTRIBUTION = EDGE["Resources"]["Distribution"]["Properties"]["DistributionConfig"]
FIREWALL = EDGE["Resources"]["Firewall"]["Properties"]
POLICY = EDGE["Resources"]["OriginRequestPolicy"]["Properties"]["OriginRequestPolicyConfig"]


def values(chosen, region="us-east-1"):
    return values_with(CHOSEN | chosen, EDGE) | {"AWS::Region": region}


@pytest.mark.parametrize(
    "chosen", [{}, DOMAIN, DOMAIN | {"HostedZoneId": "Z0123456789ABC"}, {"BlockRequests": "true", "RateLimit": "10"}]
)
def test_valid_values_are_accepted(chosen):
    assert [name for name, one in PARAMETERS.items() if not accepts(one, values(chosen)[name])] == []
    assert broken_rules(values(chosen), EDGE) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ApiDomain", ""),
        ("ApiDomain", "https://api.example.com"),
        ("OriginSecret", ""),
        ("OriginSecret", "0" * 31),
        # The stack of the API takes two; the edge sends one.
        ("OriginSecret", "0" * 32 + "," + "1" * 32),
        ("DomainName", "example"),
        ("CertificateArn", "arn:aws:acm:eu-central-1:123456789012:certificate/6f0e6a4e-0000"),
        ("HostedZoneId", "/hostedzone/Z1"),
        ("BlockRequests", "yes"),
        ("RateLimit", "9"),
    ],
)
def test_an_invalid_value_is_refused(name, value):
    assert not accepts(PARAMETERS[name], value)


@pytest.mark.parametrize(
    ("rule", "values"),
    [
        ("Region", values({}, region="eu-central-1")),
        ("DomainAndCertificate", values({"DomainName": DOMAIN["DomainName"]})),
        ("DomainAndCertificate", values({"CertificateArn": DOMAIN["CertificateArn"]})),
        ("DomainAndCertificate", values({"HostedZoneId": "Z0123456789ABC"})),
    ],
)
def test_an_invalid_combination_is_refused(rule, values):
    assert broken_rules(values, EDGE) == [rule]


def test_both_stacks_accept_the_same_secrets():
    secret = PARAMETERS["OriginSecret"]["AllowedPattern"]
    assert template.load()["Parameters"]["OriginSecret"]["AllowedPattern"] == f"({secret}(,{secret})?)?"
    assert PARAMETERS["OriginSecret"]["NoEcho"] is True


def web_code():
    paths = (ROOT / "shared/web/src").rglob("*.rs")
    return "".join(path.read_text().split("#[cfg(test)]")[0] for path in paths)


def test_the_edge_sends_the_secret_in_the_header_that_the_functions_read():
    [name] = re.findall(r'SECRET_HEADER: HeaderName = HeaderName::from_static\("([a-z-]+)"\)', web_code())
    [origin] = DISTRIBUTION["Origins"]
    [header] = origin["OriginCustomHeaders"]
    assert (header["HeaderName"].lower(), header["HeaderValue"]) == (name, {"Ref": "OriginSecret"})


def test_the_edge_passes_exactly_what_the_functions_read():
    reads = r"(?:\.(?:get|get_all|contains_key)\(\s*|headers(?:\(\))?, )"
    constants = re.findall(rf"{reads}header::([A-Z_]+)\b", web_code())
    texts = re.findall(rf'{reads}"([a-z-]+)"', web_code())
    read = {name.replace("_", "-").lower() for name in constants} | {"cloudfront-viewer-address", *texts}
    # A load balancer's, which has no edge in front of it.
    read.remove("x-forwarded-for")
    headers = POLICY["HeadersConfig"]
    assert headers["HeaderBehavior"] == "whitelist"
    assert {name.lower() for name in headers["Headers"]} == read
    assert len(headers["Headers"]) <= 10, "CloudFront's quota"
    assert set(re.findall(r'query\s*\.first\("(\w+)"\)', web_code())) == set(
        POLICY["QueryStringsConfig"]["QueryStrings"]
    )
    assert POLICY["CookiesConfig"] == {"CookieBehavior": "none"}


def test_the_edge_changes_and_keeps_no_response():
    behavior = DISTRIBUTION["DefaultCacheBehavior"]
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
    caching_disabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
    assert behavior["CachePolicyId"] == caching_disabled
    assert not {"ResponseHeadersPolicyId", "FunctionAssociations", "LambdaFunctionAssociations"} & behavior.keys()
    assert not {"CacheBehaviors", "DefaultRootObject"} & DISTRIBUTION.keys()


def test_the_edge_keeps_no_error():
    # Cache-Control does not apply to these errors:
    # https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/custom-error-pages-expiration.html
    expected = [{"ErrorCode": code, "ErrorCachingMinTTL": 0} for code in (500, 502, 503, 504)]
    assert DISTRIBUTION["CustomErrorResponses"] == expected


def test_the_edge_speaks_https_only():
    [origin] = DISTRIBUTION["Origins"]
    assert DISTRIBUTION["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "https-only"
    assert origin["CustomOriginConfig"] == {"OriginProtocolPolicy": "https-only", "OriginSSLProtocols": ["TLSv1.2"]}
    _, with_domain, _ = DISTRIBUTION["ViewerCertificate"]["Fn::If"]
    assert with_domain["MinimumProtocolVersion"] == "TLSv1.2_2021"


@pytest.mark.parametrize("rule", FIREWALL["Rules"], ids=lambda rule: rule["Name"])
def test_a_rule_of_the_firewall_only_counts_unless_it_is_told_to_block(rule):
    own, group = rule.get("Action"), rule.get("OverrideAction")
    blocks = [{"Block": {}}, {"Count": {}}] if own else [{"None": {}}, {"Count": {}}]
    assert (own or group)["Fn::If"] == ["Blocks", *blocks]


def test_samples_of_the_firewall_contain_no_cookie_or_query():
    protected = FIREWALL["DataProtectionConfig"]["DataProtections"]
    assert {one["Action"] for one in protected} == {"SUBSTITUTION"}
    fields = {(one["Field"]["FieldType"], *one["Field"].get("FieldKeys", [])) for one in protected}
    assert fields == {("SINGLE_HEADER", "cookie"), ("SINGLE_HEADER", "authorization"), ("QUERY_STRING",)}


@pytest.mark.fakecloud
def test_a_rotation_changes_the_secret_of_the_same_distribution(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Fakecloud() as cloud:
        formation, cloudfront = cloud.client("cloudformation"), cloud.client("cloudfront")

        def deploy(operation, waiter, chosen):
            getattr(formation, operation)(
                StackName="edge",
                TemplateBody=(ROOT / "edge.yaml").read_text(),
                Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in chosen.items()],
            )
            formation.get_waiter(waiter).wait(StackName="edge", WaiterConfig={"Delay": 1})
            [distribution] = cloudfront.list_distributions()["DistributionList"]["Items"]
            [origin] = distribution["Origins"]["Items"]
            [header] = origin["CustomHeaders"]["Items"]
            return distribution["Id"], header["HeaderValue"], distribution["DomainName"]

        identifier, secret, domain = deploy("create_stack", "stack_create_complete", CHOSEN)
        assert secret == CHOSEN["OriginSecret"]
        [described] = formation.describe_stacks(StackName="edge")["Stacks"]
        outputs = {one["OutputKey"]: one["OutputValue"] for one in described["Outputs"]}
        assert outputs == {
            "EdgeUrl": f"https://{domain}",
            "ResetUrl": f"https://{domain}/core/user/change-forgotten-password",
            "DistributionDomain": domain,
        }
        rotated = CHOSEN | {"OriginSecret": "1" * 32}
        assert deploy("update_stack", "stack_update_complete", rotated) == (identifier, "1" * 32, domain)


@pytest.mark.fakecloud
def test_a_rotation_refuses_no_request_through_the_edge(cloud):
    old, new = "0" * 32, "1" * 32
    parameters = template.REQUIRED | {
        "ClientAddressHeader": "CloudFront-Viewer-Address",
        "ResetUrl": "https://account.example.com/core/user/change-forgotten-password",
    }
    stack = Deployment(cloud, "recovery-edge", parameters | {"OriginSecret": old})

    def statuses(secret):
        paths = (FORGOT, CHANGE, "/.well-known/change-password", "/unknown")
        return [stack.request("GET", path, headers={"X-Origin-Verify": secret}).status for path in paths]

    served, refused = [200, 200, 302, 404], [403] * 4
    assert [statuses(secret) for secret in (old, new, "")] == [served, refused, refused]
    stack.update(parameters | {"OriginSecret": f"{old},{new}"})
    assert [statuses(secret) for secret in (old, new, "")] == [served, served, refused]
    stack.update(parameters | {"OriginSecret": new})
    assert [statuses(secret) for secret in (old, new, "")] == [refused, served, refused]
