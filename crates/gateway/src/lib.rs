//! The only way out of a sandbox: model APIs with the key added, metered and capped.
