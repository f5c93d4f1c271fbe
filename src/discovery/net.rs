//! Interfaces and their sockets.
//!
//! Each socket is bound to the group's address on one interface, so it hears what was sent to the
//! group on that link and nothing else: no packet that was routed here, and none for this machine
//! alone, which belongs to whoever shares the port (avahi, another server).

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};
use simple_mdns::NetworkScope;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// Hops of a packet: the link is all it may cross, and some look at it (RFC 6762, section 11).
const HOPS: u32 = 255;

/// A network interface that is up, and can carry the group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) index: u32,
    pub(super) name: String,
    /// Its addresses, each with the bits of its network.
    pub(super) addresses: Vec<(IpAddr, u8)>,
}

impl Interface {
    /// Whether an address is of this link.
    pub(super) fn is_near(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|(own, bits)| match (own, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let common = (u32::from(*own) ^ u32::from(other)).leading_zeros();
                *bits > 0 && common >= u32::from(*bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let common = (u128::from(*own) ^ u128::from(other)).leading_zeros();
                other.is_unicast_link_local() || (*bits > 0 && common >= u32::from(*bits))
            }
            _ => false,
        })
    }

    /// The families that it has addresses of.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let has = |family| self.addresses.iter().any(|(ip, _)| Family::of(*ip) == family);
        [Family::V4, Family::V6].into_iter().filter(move |family| has(*family))
    }
}

/// All interfaces of this machine but its loopback and lines from point to point. An address is
/// told beside the network it is in.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::new();
    for one in if_addrs::get_if_addrs()? {
        let Some(index) = one.index.filter(|_| one.is_oper_up() && !one.is_p2p()) else { continue };
        if one.is_loopback() {
            continue;
        }
        let bits = match &one.addr {
            if_addrs::IfAddr::V4(v4) => v4.prefixlen,
            if_addrs::IfAddr::V6(v6) => v6.prefixlen,
        };
        let address = (one.ip(), bits);
        match found.iter_mut().find(|interface| interface.index == index) {
            Some(interface) => interface.addresses.push(address),
            None => found.push(Interface { index, name: one.name, addresses: vec![address] }),
        }
    }
    Ok(found)
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The group on one interface.
#[derive(Debug)]
pub(super) struct Group {
    socket: UdpSocket,
    all: SocketAddr,
    /// Whether it hears the group, and so nothing from beyond the link.
    hears_all: bool,
}

impl Group {
    /// Takes part in the group, on its own port.
    pub(super) fn join(index: u32, family: Family) -> io::Result<Self> {
        let (socket, all) = open(index, family)?;
        // Without SO_REUSEPORT, since Linux (6.18) hands what it has found the socket of to any
        // other one that shares the port so, and thus to another interface's.
        socket.set_reuse_address(true)?;
        if let Err(error) = socket.bind(&all.into()) {
            if error.kind() != ErrorKind::AddrInUse {
                return Err(error);
            }
            // Somebody shares the port in no other way.
            socket.set_reuse_port(true)?;
            socket.bind(&all.into())?;
        }
        match all.ip() {
            IpAddr::V4(group) => {
                socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))?;
                socket.set_multicast_all_v4(false)?;
            }
            IpAddr::V6(group) => {
                socket.join_multicast_v6(&group, index)?;
                socket.set_multicast_all_v6(false)?;
            }
        }
        Ok(Self { socket: socket.into(), all, hears_all: true })
    }

    /// Asks the group from a port of its own, and hears nothing but what is sent there.
    pub(super) fn alone(index: u32, family: Family) -> io::Result<Self> {
        let (socket, all) = open(index, family)?;
        let any = match family {
            Family::V4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            Family::V6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        socket.bind(&any.into())?;
        Ok(Self { socket: socket.into(), all, hears_all: false })
    }

    /// Whether what comes in can only be from this link.
    pub(super) fn hears_all(&self) -> bool {
        self.hears_all
    }

    /// Sends to somebody, or to the group.
    pub(super) fn send(&self, bytes: &[u8], to: Option<SocketAddr>) -> io::Result<()> {
        self.socket.send_to(bytes, to.unwrap_or(self.all)).map(|_| ())
    }

    /// A packet that is here.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.recv_from(buffer) {
            Ok((count, from)) => Ok(Some((count, from))),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Group {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket whose packets to the group leave by one interface, and the group's address.
fn open(index: u32, family: Family) -> io::Result<(Socket, SocketAddr)> {
    let (domain, scope) = match family {
        Family::V4 => (Domain::IPV4, NetworkScope::V4),
        Family::V6 => (Domain::IPV6, NetworkScope::V6),
    };
    let kind = Type::DGRAM.nonblocking().cloexec();
    let socket = Socket::new(domain, kind, Some(Protocol::UDP))?;
    let group = scope.socket_address();
    let group = match group.ip() {
        IpAddr::V4(v4) => {
            socket.set_multicast_ttl_v4(HOPS)?;
            socket.set_ttl_v4(HOPS)?;
            // By index: the interface needs no route to the group, and no address of its own.
            let any = Ipv4Addr::UNSPECIFIED;
            rustix::net::sockopt::set_ip_multicast_if_with_ifindex(&socket, &any, &any, index)?;
            SocketAddrV4::new(v4, group.port()).into()
        }
        IpAddr::V6(v6) => {
            socket.set_only_v6(true)?;
            socket.set_multicast_hops_v6(HOPS)?;
            socket.set_unicast_hops_v6(HOPS)?;
            socket.set_multicast_if_v6(index)?;
            SocketAddrV6::new(v6, group.port(), 0, index).into()
        }
    };
    Ok((socket, group))
}

/// Says that links or addresses have changed; not how.
#[derive(Debug)]
pub(super) struct Changes(OwnedFd);

/// `RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR` of `linux/rtnetlink.h`.
const CHANGES: u32 = 0x1 | 0x10 | 0x100;

impl Changes {
    pub(super) fn watch() -> io::Result<Self> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        // The protocol 0 is NETLINK_ROUTE.
        let socket =
            rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        rustix::net::bind(&socket, &netlink::SocketAddrNetlink::new(0, CHANGES))?;
        Ok(Self(socket))
    }

    /// Forgets the changes so far. A queue that ran over (`ENOBUFS`) is one, too.
    pub(super) fn clear(&self) {
        let mut buffer = [0; 4096];
        for _ in 0..1024 {
            match rustix::net::recv(&self.0, &mut buffer[..], rustix::net::RecvFlags::empty()) {
                Ok(_) | Err(rustix::io::Errno::NOBUFS | rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
