package command

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/cmd/weir/connect"
	"weir/cmd/weir/fault"
	"weir/cmd/weir/output"
)

func newACL(s *Streams) *cobra.Command {
	cmd := group("acl", "See and change who may do what", newACLList(s), newACLCreate(s), newACLDelete(s))
	cmd.Aliases = []string{"acls"}
	return cmd
}

// clusterName is what ACLs call the cluster.
const clusterName = "kafka-cluster"

// aclRow is an ACL in words.
type aclRow struct {
	Resource   string `json:"resource"` // type:name
	Pattern    string `json:"pattern"`  // literal, prefixed
	Principal  string `json:"principal"`
	Host       string `json:"host"`
	Permission string `json:"permission"` // allow, deny
	Operation  string `json:"operation"`
}

func newACLRow(kind kmsg.ACLResourceType, name string, pattern kmsg.ACLResourcePatternType, principal, host string, op kmsg.ACLOperation, p kmsg.ACLPermissionType) aclRow {
	return aclRow{
		Resource: aclWord(kind) + ":" + name, Pattern: aclWord(pattern), Principal: principal, Host: host,
		Permission: aclWord(p), Operation: aclWord(op),
	}
}

// aclWord is Kafka's name of a number, as people write it.
func aclWord(n fmt.Stringer) string {
	return strings.ReplaceAll(strings.ToLower(n.String()), "_", "-")
}

func (r aclRow) compare(o aclRow) int {
	return cmp.Or(strings.Compare(r.Resource, o.Resource), strings.Compare(r.Pattern, o.Pattern), strings.Compare(r.Principal, o.Principal),
		strings.Compare(r.Host, o.Host), strings.Compare(r.Permission, o.Permission), strings.Compare(r.Operation, o.Operation))
}

var aclColumns = []output.Column[aclRow]{
	{Name: "RESOURCE", Cell: func(r aclRow) string { return r.Resource }},
	{Name: "PATTERN", Cell: func(r aclRow) string { return r.Pattern }},
	{Name: "PRINCIPAL", Cell: func(r aclRow) string { return r.Principal }},
	{Name: "HOST", Cell: func(r aclRow) string { return r.Host }},
	{Name: "PERMISSION", Cell: func(r aclRow) string { return r.Permission }},
	{Name: "OPERATION", Cell: func(r aclRow) string { return r.Operation }},
}

// aclResource is a resource that ACLs are about.
type aclResource struct {
	kind kmsg.ACLResourceType
	name string
}

// aclResources are the flags that name resources.
type aclResources struct {
	topics, groups, ids []string
	cluster, prefix     bool
}

func (a *aclResources) addFlags(s *Streams, cmd *cobra.Command, conn *connect.Options) {
	f := cmd.Flags()
	f.StringArrayVar(&a.topics, "topic", nil, "name of a topic, * for all, may be given again")
	f.StringArrayVar(&a.groups, "group", nil, "name of a group, * for all, may be given again")
	f.StringArrayVar(&a.ids, "transactional-id", nil, "transactional id, * for all, may be given again")
	f.BoolVar(&a.cluster, "cluster", false, "the cluster itself")
	f.BoolVar(&a.prefix, "prefix", false, "names are beginnings of names")
	_ = cmd.RegisterFlagCompletionFunc("topic", completeTopics(s, conn, -1)) // fails only for a flag that is not there
	_ = cmd.RegisterFlagCompletionFunc("group", completeGroups(s, conn))
	_ = cmd.RegisterFlagCompletionFunc("transactional-id", completeTxns(s, conn))
}

// named lists what the flags name.
func (a *aclResources) named() (all []aclResource, err error) {
	add := func(kind kmsg.ACLResourceType, names []string) {
		for _, n := range names {
			if n == "" {
				err = fault.Usage("the name of a %s is empty", aclWord(kind))
			}
			all = append(all, aclResource{kind, n})
		}
	}
	add(kmsg.ACLResourceTypeTopic, a.topics)
	add(kmsg.ACLResourceTypeGroup, a.groups)
	add(kmsg.ACLResourceTypeTransactionalId, a.ids)
	if a.cluster {
		if a.prefix {
			return nil, fault.Usage("--prefix goes with names, and there is one cluster")
		}
		add(kmsg.ACLResourceTypeCluster, []string{clusterName})
	}
	return all, err
}

// pattern is how the names are meant.
func (a *aclResources) pattern() kmsg.ACLResourcePatternType {
	if a.prefix {
		return kmsg.ACLResourcePatternTypePrefixed
	}
	return kmsg.ACLResourcePatternTypeLiteral
}

// aclOperations are the operations that an ACL can be about, as people write them.
var aclOperations = func() (words []string) {
	for op := kmsg.ACLOperationAll; op <= kmsg.ACLOperationIdempotentWrite; op++ {
		words = append(words, aclWord(op))
	}
	return words
}()

func parseACLOperation(word string) (kmsg.ACLOperation, error) {
	op, err := kmsg.ParseACLOperation(word)
	if err != nil || !slices.Contains(aclOperations, aclWord(op)) {
		return 0, fault.Usage("there is no operation %q; there are %s", word, strings.Join(aclOperations, ", "))
	}
	return op, nil
}

func checkPrincipals(principals []string) error {
	for _, p := range principals {
		if kind, name, ok := strings.Cut(p, ":"); !ok || kind == "" || name == "" {
			return fault.Usage("%q is no principal: write User:NAME, or User:* for everybody", p)
		}
	}
	return nil
}
