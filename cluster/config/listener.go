package config

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Listener is one address, to listen on or to advertise.
type Listener struct {
	Name string // as in NAME://host:port, upper case
	Host string // empty: all interfaces (never in an advertised one)
	Port int    // 0 to listen: any free port; 0 advertised: the port that was bound
}

// Address is host:port, for net.Listen or a client.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

func (l Listener) String() string { return l.Name + "://" + l.Address() }

// ParseListener reads NAME://host:port, or host:port for PLAINTEXT.
func ParseListener(s string) (Listener, error) {
	name, address, ok := strings.Cut(s, "://")
	if !ok {
		name, address = "PLAINTEXT", s
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Listener{}, fmt.Errorf("listener %q: want NAME://host:port, such as PLAINTEXT://127.0.0.1:9092", s)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Listener{}, fmt.Errorf("listener %q: the port must be a number from 0 to 65535", s)
	}
	if name == "" || strings.ContainsAny(name, " /,") {
		return Listener{}, fmt.Errorf("listener %q: the name before :// is missing or malformed", s)
	}
	return Listener{Name: strings.ToUpper(name), Host: host, Port: int(n)}, nil
}

// setListeners reads the four listener keys together. hostname is what an empty host is
// advertised as.
func (b *Broker) setListeners(r *reader, hostname string) error {
	protocols, err := parseProtocols(r.list("listener.security.protocol.map"))
	if err != nil {
		return err
	}
	controller := upper(r.list("controller.listener.names"))
	if b.Listeners, err = parseListeners("listeners", r.list("listeners"), controller); err != nil {
		return err
	}
	for _, l := range b.Listeners {
		if err := plaintextOnly(l, protocols); err != nil {
			return err
		}
	}
	advertised, err := parseListeners("advertised.listeners", r.list("advertised.listeners"), controller)
	if err != nil {
		return err
	}
	b.Advertised, err = advertise(b.Listeners, advertised, hostname)
	return err
}

// setPeers reads the keys of the port between brokers.
func (b *Broker) setPeers(r *reader) (err error) {
	if b.Peers.Listener, err = hostPort(r, "peer.listener"); err != nil {
		return err
	}
	if b.Peers.Advertised, err = hostPort(r, "peer.advertised.listener"); err != nil {
		return err
	}
	for _, seed := range b.Peers.Seeds {
		if host, port, err := net.SplitHostPort(seed); err != nil || host == "" || port == "" {
			return fmt.Errorf("peer.seeds: want host:port, got %q", seed)
		}
	}
	return nil
}

// hostPort reads a key that holds an address without a name; nil when it is empty.
func hostPort(r *reader, key string) (*Listener, error) {
	address := r.str(key)
	if address == "" {
		return nil, nil
	}
	l, err := ParseListener(address)
	if err != nil || strings.Contains(address, "://") {
		return nil, fmt.Errorf("%s: want host:port, got %q", key, address)
	}
	return &l, nil
}

func parseListeners(key string, values, controller []string) ([]Listener, error) {
	var out []Listener
	for _, v := range values {
		l, err := ParseListener(v)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if slices.Contains(controller, l.Name) {
			continue // a KRaft controller's; Weir has its own
		}
		if slices.ContainsFunc(out, func(o Listener) bool { return o.Name == l.Name }) {
			return nil, fmt.Errorf("%s: listener name %s appears twice", key, l.Name)
		}
		out = append(out, l)
	}
	return out, nil
}

func parseProtocols(values []string) (map[string]string, error) {
	protocols := map[string]string{}
	for _, v := range values {
		name, protocol, ok := strings.Cut(v, ":")
		if !ok {
			return nil, fmt.Errorf("listener.security.protocol.map: want NAME:PROTOCOL, got %q", v)
		}
		protocols[strings.ToUpper(strings.TrimSpace(name))] = strings.ToUpper(strings.TrimSpace(protocol))
	}
	return protocols, nil
}

// plaintextOnly refuses what would be served without the protection that was asked for.
func plaintextOnly(l Listener, protocols map[string]string) error {
	protocol, mapped := protocols[l.Name]
	if !mapped {
		protocol = l.Name
	}
	switch protocol {
	case "PLAINTEXT":
		return nil
	case "SSL", "SASL_PLAINTEXT", "SASL_SSL":
		return fmt.Errorf("listeners: %s asks for %s, which is not served yet: use PLAINTEXT on a trusted network", l, protocol)
	}
	return fmt.Errorf("listeners: %s has no protocol: add %s:PLAINTEXT to listener.security.protocol.map", l, l.Name)
}

// advertise pairs each listener with the address that clients are told.
func advertise(listeners, advertised []Listener, hostname string) ([]Listener, error) {
	for _, a := range advertised {
		if !slices.ContainsFunc(listeners, func(l Listener) bool { return l.Name == a.Name }) {
			return nil, fmt.Errorf("advertised.listeners: %s has no listener of that name", a)
		}
	}
	var out []Listener
	for _, l := range listeners {
		a := l
		if i := slices.IndexFunc(advertised, func(a Listener) bool { return a.Name == l.Name }); i >= 0 {
			a = advertised[i]
		} else if l.Host == "" {
			a.Host = hostname
		}
		if err := reachable(a, l); err != nil {
			return nil, err
		}
		out = append(out, a)
	}
	return out, nil
}

// reachable refuses addresses that no client can connect to; they are the most common mistake.
func reachable(a, l Listener) error {
	ip := net.ParseIP(a.Host)
	if a.Host != "" && (ip == nil || !ip.IsUnspecified()) {
		return nil
	}
	port := a.Port
	if port == 0 {
		port = l.Port
	}
	example := Listener{Name: a.Name, Host: "broker1.example.com", Port: port}
	return errors.New("advertised.listeners: clients cannot connect to " + a.String() +
		": set the name or address that they reach this broker by, for example advertised.listeners=" + example.String())
}

func upper(values []string) []string {
	for i := range values {
		values[i] = strings.ToUpper(values[i])
	}
	return values
}
