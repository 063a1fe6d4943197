//! Requests of AWS's query protocol, signed where the operation asks for it.

use std::time::SystemTime;

use accredit_policy::Secret;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use form_urlencoded::Serializer;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{RequestBuilder, Url};
use zeroize::Zeroizing;

use super::super::Failure;
use crate::outbound::Outbound;

const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// The parameters of a request.
#[derive(Default)]
pub struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Adds one parameter.
    pub fn add(&mut self, name: &str, value: &str) {
        self.0.push((name.to_owned(), Zeroizing::new(value.to_owned())));
    }

    fn body(&self) -> String {
        let mut serializer = Serializer::new(String::new());
        self.0.iter().for_each(|(name, value)| {
            serializer.append_pair(name, value);
        });
        // AWS's own clients write this one too, and some services sign what they have read and written again.
        serializer.finish().replace('*', "%2A")
    }
}

/// A request nobody signs.
pub fn plain(outbound: &Outbound, endpoint: &Url, form: &Form) -> RequestBuilder {
    with(outbound, endpoint, form.body())
}

/// A request signed with the keys `id` and `key`.
///
/// [AWS, Signature Version 4](https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html)
pub fn signed(
    outbound: &Outbound,
    endpoint: &Url,
    region: &str,
    [id, key]: [&Secret; 2],
    form: &Form,
) -> Result<RequestBuilder, Failure> {
    let unsigned = || Failure::Unavailable("the request was not signed".into());
    let body = form.body();
    let identity = Credentials::new(id.reveal(), key.reveal(), None, None, "accredit").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| unsigned())?;
    let headers = [("content-type", FORM)].into_iter();
    let request = SignableRequest::new("POST", endpoint.as_str(), headers, SignableBody::Bytes(body.as_bytes()));
    let (instructions, _) =
        sign(request.map_err(|_| unsigned())?, &params.into()).map_err(|_| unsigned())?.into_parts();
    let request = with(outbound, endpoint, body);
    Ok(instructions.headers().fold(request, |request, (name, value)| request.header(name, value)))
}

fn with(outbound: &Outbound, endpoint: &Url, body: String) -> RequestBuilder {
    let request = outbound.client().post(endpoint.clone());
    request.header(CONTENT_TYPE, FORM).header(ACCEPT, "text/xml").body(body)
}
