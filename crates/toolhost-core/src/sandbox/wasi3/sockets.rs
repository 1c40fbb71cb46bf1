//! Names and sockets, checked as those of WASI 0.2. Addresses are checked by the same
//! `socket_addr_check`.

use std::net::IpAddr;

use url::Host;
use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::p3::bindings::sockets::ip_name_lookup::ErrorCode as LookupError;
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, Host as _, HostTcpSocket, HostUdpSocket, IpAddress, IpAddressFamily,
};
use wasmtime_wasi::p3::sockets::SocketError;
use wasmtime_wasi::sockets::{TcpSocket, UdpSocket, WasiSocketsView};

use super::super::{Sandbox, sockets};

pub(super) fn replace(linker: &mut Linker<Sandbox>) -> wasmtime::Result<()> {
    linker
        .instance("wasi:sockets/ip-name-lookup@0.3.0")?
        .func_wrap_concurrent(
            "resolve-addresses",
            |accessor: &Accessor<Sandbox>, (name,): (String,)| {
                Box::pin(async move { Ok((resolve(accessor, name).await?,)) })
            },
        )?;
    // A guest without the permission gets no socket either; name the permission in the denial.
    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<Sandbox>, (family,): (IpAddressFamily,)| {
            let sandbox = store.data_mut();
            sockets::deny_unless_granted(sandbox, "tcp");
            let created = HostTcpSocket::create(&mut sandbox.sockets(), family);
            Ok((code::<Resource<TcpSocket>>(sandbox, created)?,))
        },
    )?;
    types.func_wrap_async(
        "[static]udp-socket.create",
        |mut store: StoreContextMut<Sandbox>, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let sandbox = store.data_mut();
                sockets::deny_udp(sandbox);
                let created = HostUdpSocket::create(&mut sandbox.sockets(), family).await;
                Ok((code::<Resource<UdpSocket>>(sandbox, created)?,))
            })
        },
    )
}

/// Looks up a granted name, and notes the addresses that the guest gets.
async fn resolve(
    accessor: &Accessor<Sandbox>,
    name: String,
) -> wasmtime::Result<Result<Vec<IpAddress>, LookupError>> {
    let lower = name.to_ascii_lowercase();
    let granted = accessor.with(|mut access| sockets::begin_lookup(access.get(), &lower))?;
    if !granted {
        return Ok(Err(LookupError::AccessDenied));
    }
    let host = match name.parse() {
        // `Host::parse` expects brackets around these.
        Ok(ip) => Host::Ipv6(ip),
        Err(_) => match Host::parse(&name) {
            Ok(host) => host,
            Err(_) => return Ok(Err(LookupError::InvalidArgument)),
        },
    };
    let found: Vec<IpAddr> = match host {
        Host::Ipv4(ip) => vec![ip.into()],
        Host::Ipv6(ip) => vec![ip.into()],
        Host::Domain(domain) => match tokio::net::lookup_host((&*domain, 0)).await {
            Ok(found) => found.map(|address| address.ip().to_canonical()).collect(),
            Err(error) => {
                tracing::debug!("no address of {domain}: {error}");
                return Ok(Err(LookupError::NameUnresolvable));
            }
        },
    };
    accessor.with(|mut access| {
        let sandbox = access.get();
        for ip in &found {
            sockets::found(sandbox, &lower, *ip);
        }
    });
    Ok(Ok(found.into_iter().map(IpAddress::from).collect()))
}

/// Returns an error to the guest.
fn code<T>(
    sandbox: &mut Sandbox,
    result: Result<T, SocketError>,
) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => Ok(Err(sandbox.sockets().convert_error_code(error)?)),
    }
}
