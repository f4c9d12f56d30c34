//! The key pair of all Apps of one test process, made when it is first needed: none stands in the source.

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The private key as PEM, and the public one as DER.
pub(super) struct Key {
    pub(super) private_pem: String,
    pub(super) public_der: Vec<u8>,
}

/// The key pair.
pub(super) fn key() -> &'static Key {
    static KEY: OnceLock<Key> = OnceLock::new();
    KEY.get_or_init(|| {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("a key pair can be made");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("the key pair can be written down");
        let text = STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        let kind = "PRIVATE KEY";
        Key {
            private_pem: format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n")),
            public_der: pair.public_key().as_ref().to_vec(),
        }
    })
}
