//! The contract's traits and types, generated from `wit/`.
//!
//! A guest's handle is a [`Resource`](wasmtime::component::Resource) of the type that the `with` table lists for it.

#![expect(missing_docs, reason = "the macro generates items without documentation")]

wasmtime::component::bindgen!({
    path: "embedded/wit",
    world: "probe",
    imports: {
        default: trappable,
        "sentrynet:probe/http.[method]request.ca": async | trappable,
        "sentrynet:probe/http.[method]request.client-certificate": async | trappable,
        "sentrynet:probe/http.[method]request.send": async | trappable,
        "sentrynet:probe/ssh.[method]client.known-hosts": async | trappable,
        "sentrynet:probe/ssh.[method]client.identity": async | trappable,
        "sentrynet:probe/ssh.[method]client.agent-key": async | trappable,
        "sentrynet:probe/ssh.[method]client.connect": async | trappable,
        "sentrynet:probe/ssh.[method]session.authenticate": async | trappable,
        "sentrynet:probe/ssh.[method]session.exec": async | trappable,
    },
    exports: { default: async },
    additional_derives: [serde::Serialize, serde::Deserialize],
    with: {
        "sentrynet:probe/http.request": crate::capability::http::Request,
        "sentrynet:probe/http.response": crate::capability::http::Response,
        "sentrynet:probe/span.span": crate::capability::span::Span,
        "sentrynet:probe/ssh.client": crate::capability::ssh::Client,
        "sentrynet:probe/ssh.session": crate::capability::ssh::Session,
    },
});
