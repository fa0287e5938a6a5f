// Package acl says who may do what, by the ACLs of a cluster (KIP-11, KIP-290): Kafka's StandardAuthorizer. It is pure.
package acl

import (
	"fmt"
	"strings"
)

// Operation is what somebody does with a resource; the numbers are Kafka's, and stored.
type Operation int8

const (
	All             Operation = 2 // each of those below; only ACLs say it
	Read            Operation = 3
	Write           Operation = 4
	Create          Operation = 5
	Delete          Operation = 6
	Alter           Operation = 7
	Describe        Operation = 8
	ClusterAction   Operation = 9 // what brokers do
	DescribeConfigs Operation = 10
	AlterConfigs    Operation = 11
	IdempotentWrite Operation = 12
	CreateTokens    Operation = 13
	DescribeTokens  Operation = 14
	TwoPhaseCommit  Operation = 15
)

// known says that an ACL may name the operation.
func (o Operation) known() bool { return o >= All && o <= TwoPhaseCommit }

// Operations is a set of them: bit n is operation n.
type Operations uint32

// setOf makes a set.
func setOf(ops ...Operation) (s Operations) {
	for _, o := range ops {
		s |= 1 << o
	}
	return s
}

func (s Operations) has(o Operation) bool { return s&(1<<o) != 0 }

// ResourceType is a kind of resource; the numbers are Kafka's, and stored.
type ResourceType int8

const (
	TypeTopic           ResourceType = 2
	TypeGroup           ResourceType = 3
	TypeCluster         ResourceType = 4
	TypeTransactionalID ResourceType = 5
	TypeDelegationToken ResourceType = 6
	TypeUser            ResourceType = 7

	types = TypeUser + 1
)

func (t ResourceType) known() bool { return t >= TypeTopic && t <= TypeUser }

// operations are those that somebody can be allowed on a resource, by its type, in the answers of Kafka's requests.
var operations = [types][]Operation{
	TypeTopic:   {Read, Write, Create, Describe, Delete, Alter, DescribeConfigs, AlterConfigs},
	TypeGroup:   {Read, Describe, Delete, DescribeConfigs, AlterConfigs},
	TypeCluster: {Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe},
}

// PatternType says which resources a name means; the numbers are Kafka's, and those of the first two are stored.
type PatternType int8

const (
	Literal  PatternType = 3 // the one of that name, or, by *, all
	Prefixed PatternType = 4 // those whose names begin with it

	AnyPattern PatternType = 1 // in filters: of either type, by exactly that name
	Match      PatternType = 2 // in filters: those that are about the resource of that name
)

// Permission is what an ACL gives; the numbers are Kafka's, and stored.
type Permission int8

const (
	Deny  Permission = 2
	Allow Permission = 3
)

// anything is the number of resource types, operations and permissions by which a filter takes all.
const anything = 1

// wildcard is every name, host, and with its type before it every principal.
const wildcard = "*"

// ClusterName is the name of the one resource of type TypeCluster.
const ClusterName = "kafka-cluster"

// Resource is something that operations are done with.
type Resource struct {
	Type ResourceType
	Name string
}

// Cluster is the cluster as a resource.
var Cluster = Resource{TypeCluster, ClusterName}

// Topic is a topic as a resource.
func Topic(name string) Resource { return Resource{TypeTopic, name} }

// Group is a group as a resource.
func Group(name string) Resource { return Resource{TypeGroup, name} }

// TransactionalID is a transactional id as a resource.
func TransactionalID(id string) Resource { return Resource{TypeTransactionalID, id} }

// Principal is who somebody is. Kafka's own type of principals is User.
type Principal struct{ Type, Name string }

// Anonymous is who everybody is that nobody has asked.
var Anonymous = Principal{Type: "User", Name: "ANONYMOUS"}

// String is how ACLs name the principal.
func (p Principal) String() string { return p.Type + ":" + p.Name }

// ParsePrincipal reads what String writes; the type ends with the first colon.
func ParsePrincipal(s string) (Principal, error) {
	kind, name, ok := strings.Cut(s, ":")
	if !ok || kind == "" || name == "" {
		return Principal{}, fmt.Errorf("%q is no principal: want type:name, such as User:alice", s)
	}
	return Principal{Type: kind, Name: name}, nil
}
