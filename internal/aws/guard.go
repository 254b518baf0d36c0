package aws

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"dynaferry/internal/fault"
)

// guard refuses connections after name resolution, so that neither a redirect nor a name that resolves anew
// (DNS rebinding) leads a request to the machine's metadata service.
type guard struct {
	loopbackOnly bool // the endpoint is plain http
}

// metadataAddrs are services of cloud hosts that hand out credentials outside the link-local ranges:
// EC2 over IPv6, Alibaba, Azure's wire server, Oracle.
var metadataAddrs = map[netip.Addr]bool{
	netip.MustParseAddr("fd00:ec2::254"):   true,
	netip.MustParseAddr("fd00:ec2::23"):    true,
	netip.MustParseAddr("100.100.100.200"): true,
	netip.MustParseAddr("168.63.129.16"):   true,
	netip.MustParseAddr("192.0.0.192"):     true,
}

// nat64 is the well-known prefix whose last 32 bits are an IPv4 address (RFC 6052).
var nat64 = netip.MustParsePrefix("64:ff9b::/96")

// forbidden tells why an address may not be a service's, or "".
func (g guard) forbidden(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if nat64.Contains(addr) {
		b := addr.As16()
		addr = netip.AddrFrom4([4]byte(b[12:]))
	}
	switch {
	case addr.IsLinkLocalUnicast() || metadataAddrs[addr]:
		return "is link-local, where machines keep their metadata and credentials"
	case addr.IsUnspecified() || addr.IsMulticast():
		return "is no host's address"
	case g.loopbackOnly && !addr.IsLoopback():
		return "is not this machine, and the endpoint is plain http"
	}
	return ""
}

// install sets the check on a dialer; it runs for each address a name resolved to, right before connect(2).
func (g guard) install(d *net.Dialer) {
	d.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return fault.New(fault.User, "refused to connect to %s: not an address", address)
		}
		if why := g.forbidden(ap.Addr()); why != "" {
			err := fault.New(fault.User, "refused to connect to %s: it %s", address, why)
			if g.loopbackOnly {
				err = fault.Hint(err, "use an https endpoint, or add ?insecure=true to the address")
			}
			return err
		}
		return nil
	}
}

const saysEndpoint = "write it as http://127.0.0.1:9000"

// checkEndpoint refuses endpoint URLs that could leak or mislead, before anything is dialled. plain tells that it
// is http.
func checkEndpoint(endpoint string, insecure bool) (plain bool, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		// url.Error repeats its input, which may hold a password.
		return false, fault.Hint(fault.New(fault.User, "endpoint is not a URL"), saysEndpoint)
	}
	refuse := func(format string, args ...any) (bool, error) {
		return false, fault.New(fault.User, "endpoint %s: %s", u.Redacted(), fmt.Sprintf(format, args...))
	}
	switch {
	case u.User != nil:
		return refuse("holds a user name; credentials come from the environment or a profile")
	case u.Scheme != "http" && u.Scheme != "https":
		return false, fault.Hint(fault.New(fault.User, "endpoint %q is not an http or https URL", u.Redacted()), saysEndpoint)
	case u.Hostname() == "":
		return refuse("names no host")
	case u.RawQuery != "" || u.Fragment != "":
		return refuse("has a query or fragment")
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	if addr, err := netip.ParseAddr(host); err == nil {
		local = addr.Unmap().IsLoopback()
		if why := (guard{}).forbidden(addr); why != "" {
			return refuse("the address %s", why)
		}
	}
	if u.Scheme == "http" && !local && !insecure {
		_, err := refuse("plain http to another machine would show the data to everybody on the way")
		return true, fault.Hint(err, "use an https endpoint, or add ?insecure=true to the address")
	}
	return u.Scheme == "http", nil
}
