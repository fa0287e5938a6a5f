package broker_test

import (
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cluster/acl"
	"weir/cluster/broker"
	"weir/cluster/broker/brokertest"
	"weir/cluster/metadata"
	"weir/protocol"
)

const standardAuthorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

// home is the host of dial, which guarded lets do everything.
const home = "127.0.0.1"

// guarded starts a broker that goes by ACLs.
func guarded(t testing.TB, settings map[string]string) *broker.Broker {
	t.Helper()
	all := map[string]string{"authorizer.class.name": standardAuthorizer}
	for k, v := range settings {
		all[k] = v
	}
	b := brokertest.Start(t, all)
	grant(t, b, home, "all cluster", "all topic:*", "all group:*", "all id:*")
	return b
}

// aclOf reads a right as "operation type:name", where a name that ends in ... is a prefix.
func aclOf(t testing.TB, host, right string) metadata.ACL {
	t.Helper()
	op, what, _ := strings.Cut(right, " ")
	kind, name, _ := strings.Cut(what, ":")
	a := metadata.ACL{Pattern: byte(acl.Literal), Name: name, Principal: "User:ANONYMOUS", Host: host, Permission: byte(acl.Allow)}
	a.Resource = map[string]byte{"topic": byte(acl.TypeTopic), "group": byte(acl.TypeGroup), "id": byte(acl.TypeTransactionalID), "cluster": byte(acl.TypeCluster)}[kind]
	if kind == "cluster" {
		a.Name = acl.ClusterName
	}
	if prefix, ok := strings.CutSuffix(name, "..."); ok {
		a.Name, a.Pattern = prefix, byte(acl.Prefixed)
	}
	a.Operation = map[string]byte{
		"all": byte(acl.All), "read": byte(acl.Read), "write": byte(acl.Write), "create": byte(acl.Create), "delete": byte(acl.Delete), "alter": byte(acl.Alter),
		"describe": byte(acl.Describe), "action": byte(acl.ClusterAction), "describeConfigs": byte(acl.DescribeConfigs), "alterConfigs": byte(acl.AlterConfigs),
		"idempotent": byte(acl.IdempotentWrite),
	}[op]
	if err := acl.Check(a); err != nil {
		t.Fatalf("%s: %v", right, err)
	}
	return a
}

// grant lets a host do something.
func grant(t testing.TB, b *broker.Broker, host string, rights ...string) {
	t.Helper()
	var acls []metadata.ACL
	for _, right := range rights {
		acls = append(acls, aclOf(t, host, right))
	}
	errs, err := b.Node().AddACLs(t.Context(), acls)
	for _, e := range append(errs, err) {
		if e != nil {
			t.Fatal(e)
		}
	}
}

// revoke takes rights away.
func revoke(t testing.TB, b *broker.Broker, host string, rights ...string) {
	t.Helper()
	err := b.Node().RemoveACLs(t.Context(), func([]metadata.ACL) (acls []metadata.ACL) {
		for _, right := range rights {
			acls = append(acls, aclOf(t, host, right))
		}
		return acls
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dialFrom is dial from another address of this machine.
func dialFrom(t testing.TB, host, addr string) *rawClient {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &rawClient{t: t, conn: conn}
}

// eachValue shows the plain values anywhere in v, with the name of the field that they are in.
func eachValue(v reflect.Value, field string, visit func(field string, v reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachValue(v.Elem(), field, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachValue(v.Index(i), field, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				eachValue(v.Field(i), f.Name, visit)
			}
		}
	default:
		visit(field, v)
	}
}

// codesIn lists the codes of errors anywhere in a response, each once, ascending.
func codesIn(resp kmsg.Response) (codes []protocol.ErrorCode) {
	eachValue(reflect.ValueOf(resp), "", func(field string, v reflect.Value) {
		if field != "ErrorCode" && field != "ConfigErrorCode" {
			return
		}
		if code := protocol.ErrorCode(v.Int()); code != 0 && !slices.Contains(codes, code) {
			codes = append(codes, code)
		}
	})
	slices.Sort(codes)
	return codes
}

// Codes of what a client may not do.
const (
	noTopic   = protocol.CodeTopicAuthorizationFailed
	noGroup   = protocol.CodeGroupAuthorizationFailed
	noCluster = protocol.CodeClusterAuthorizationFailed
	noID      = protocol.CodeTransactionalIDAuthorizationFailed
)

func isAllowed(code protocol.ErrorCode) bool {
	return !slices.Contains([]protocol.ErrorCode{noTopic, noGroup, noCluster, noID}, code)
}

// right is one request, the codes that a client without any right is answered with, and the rights that together let it through.
type right struct {
	request func() kmsg.Request
	codes   []protocol.ErrorCode
	tells   string // what the answer names, when it is let through and not before
	needs   []string
}

func codes(c ...protocol.ErrorCode) []protocol.ErrorCode { return c }

// TestRights goes through every API that is served: what a client without any right is answered, that it is let through with the
// rights that the table has, and not without one of them. A new API has to have its rows.
func TestRights(t *testing.T) {
	b := guarded(t, nil)
	rows := newSecrets(t, b).rows()
	hosts := 0
	next := func() string {
		hosts++
		return fmt.Sprintf("127.0.%d.%d", 1+hosts/200, 1+hosts%200)
	}
	for _, api := range protocol.APIs() {
		if len(rows[api.Key]) == 0 {
			t.Errorf("%s has no row", api.Name)
		}
		for i, row := range rows[api.Key] {
			t.Run(fmt.Sprintf("%s-%d", api.Name, i), func(t *testing.T) {
				ask := func(host string) (answer string, forbidden []protocol.ErrorCode, told bool) {
					req, c := row.request(), dialFrom(t, host, b.Addr())
					if req.Key() != api.Key {
						t.Fatalf("%T is no request of %s", req, api.Name)
					}
					resp := c.receive(req, c.send(req))
					answer = show(resp)
					return answer, slices.DeleteFunc(codesIn(resp), isAllowed), row.tells == "" || strings.Contains(answer, row.tells)
				}
				if answer, got, told := ask(next()); !slices.Equal(got, row.codes) || told && row.tells != "" {
					t.Errorf("without rights: %v, want %v: %s", got, row.codes, answer)
				}
				for without := -1; without < len(row.needs); without++ {
					host, needs := next(), slices.Clone(row.needs)
					if without >= 0 {
						needs = slices.Delete(needs, without, without+1)
					}
					grant(t, b, host, needs...)
					answer, got, told := ask(host)
					if through := len(got) == 0 && told; through != (without < 0) {
						t.Errorf("with the rights %q: %v, %s", needs, got, answer)
					}
				}
			})
		}
	}
}

// show is a response with what its pointers point to.
func show(resp kmsg.Response) string {
	var out strings.Builder
	eachValue(reflect.ValueOf(resp), "", func(_ string, v reflect.Value) { fmt.Fprintf(&out, "%v ", v) })
	return out.String()
}
