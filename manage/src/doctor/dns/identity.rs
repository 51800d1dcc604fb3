//! The SES identity that signs a sender's emails.

use aws_sdk_sesv2::{
    Client,
    error::ProvideErrorMetadata,
    operation::get_email_identity::GetEmailIdentityOutput,
    types::{DkimAttributes, MailFromAttributes},
};

use super::dmarc::parents;

/// The identity of a sender.
pub(super) enum Identity {
    /// The address only: SES knows neither its domain nor a parent.
    Address,
    Domain(Box<DomainIdentity>),
}

/// The sender's domain or the nearest parent that SES knows.
pub(super) struct DomainIdentity {
    pub(super) domain: String,
    /// `None` in the local SES.
    pub(super) dkim: Option<DkimAttributes>,
    /// `None` if SES uses its own MAIL FROM domain.
    pub(super) mail_from: Option<MailFromAttributes>,
}

/// Looks up the identity of `sender`, an address at `domain`; `None` if there is none or SES cannot
/// be asked.
pub(super) async fn find(ses: &Client, sender: &str, domain: &str) -> Option<Identity> {
    let address = get(ses, sender).await?;
    let domains = std::iter::once(domain).chain(parents(domain));
    for name in domains.filter(|name| name.contains('.')) {
        if let Some(identity) = get(ses, name).await? {
            // An address identity may have settings of its own.
            let own = address.as_ref().and_then(mail_from);
            return Some(Identity::Domain(Box::new(DomainIdentity {
                domain: name.to_owned(),
                mail_from: own.or_else(|| mail_from(&identity)),
                dkim: identity.dkim_attributes,
            })));
        }
    }
    address.map(|_| Identity::Address)
}

/// Returns the identity `name` if SES knows it; `None` if SES cannot be asked.
async fn get(ses: &Client, name: &str) -> Option<Option<GetEmailIdentityOutput>> {
    match ses.get_email_identity().email_identity(name).send().await {
        Ok(identity) => Some(Some(identity)),
        Err(error) if error.code() == Some("NotFoundException") => Some(None),
        Err(_) => None,
    }
}

fn mail_from(identity: &GetEmailIdentityOutput) -> Option<MailFromAttributes> {
    let attributes = identity.mail_from_attributes();
    let attributes = attributes.filter(|attributes| !attributes.mail_from_domain().is_empty());
    attributes.cloned()
}
