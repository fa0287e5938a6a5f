package metadata

// commandVersion is the first byte of every encoded command. A change that older code would read
// wrongly takes the next number.
const commandVersion = 1

// MaxCommandBytes bounds an encoded command; EncodeCommand refuses a larger one with LimitError.
const MaxCommandBytes = 8 << 20

// EncodeCommand returns the command as it is kept in the controller's log: version, kind, body.
func EncodeCommand(c Command) ([]byte, error) {
	e := &encoder{b: make([]byte, 0, 128)}
	e.byte(commandVersion)
	e.byte(c.kind())
	c.encode(e)
	if len(e.b) > MaxCommandBytes {
		return nil, &LimitError{What: "bytes in a command", Got: len(e.b), Want: MaxCommandBytes}
	}
	return e.b, nil
}

// DecodeCommand reads what EncodeCommand wrote. Strings are copied, so b may be used again.
// Errors are VersionError and CorruptError.
func DecodeCommand(b []byte) (Command, error) {
	d := &decoder{b: b}
	version, kind := d.byte(), d.byte()
	if d.err != "" {
		return nil, &CorruptError{What: "command", Reason: d.err}
	}
	if version != commandVersion {
		return nil, &VersionError{What: "command", Got: int(version), Want: commandVersion}
	}
	c := decodeBody(kind, d)
	if c == nil {
		return nil, &VersionError{What: "command kind", Got: int(kind), Want: kindLast}
	}
	if d.err == "" && len(d.b) > 0 {
		d.fail("bytes behind the end")
	}
	if d.err != "" {
		return nil, &CorruptError{What: "command", Reason: d.err}
	}
	return c, nil
}

func decodeBody(kind byte, d *decoder) Command {
	switch kind {
	case kindSetClusterID:
		return SetClusterID{ID: d.str()}
	case kindRegisterBroker:
		return RegisterBroker{ID: d.int32(), Directory: d.uuid(), Rack: d.str(), Endpoints: items(d, 3, d.endpoint)}
	case kindUnregisterBroker:
		return UnregisterBroker{ID: d.int32()}
	case kindCreateTopics:
		return CreateTopics{Topics: items(d, 19, d.newTopic), NowMillis: d.int(), MaxPartitions: d.int32()}
	case kindDeleteTopics:
		return DeleteTopics{IDs: items(d, 16, d.uuid)}
	case kindCreatePartitions:
		return CreatePartitions{Topics: items(d, 18, d.newPartitions), MaxPartitions: d.int32()}
	case kindSetTopicConfigs:
		return SetTopicConfigs{Changes: items(d, 18, func() TopicConfigs {
			return TopicConfigs{ID: d.uuid(), Expected: d.uint(), Values: d.configs()}
		})}
	case kindSetBrokerConfigs:
		return SetBrokerConfigs{Broker: d.int32(), Expected: d.uint(), Values: d.configs()}
	case kindAllocateProducerIDs:
		return AllocateProducerIDs{Broker: d.int32(), Count: d.int32()}
	case kindAlterPartitions:
		return AlterPartitions{Changes: items(d, 20, d.partitionChange)}
	case kindRegisterInternal:
		return d.registerInternal()
	case kindFenceBrokers:
		return FenceBrokers{Brokers: items(d, 2, d.brokerEpoch)}
	case kindUnfenceBroker:
		return UnfenceBroker(d.brokerEpoch())
	case kindDrainBroker:
		return DrainBroker{ID: d.int32(), Drain: d.bool()}
	case kindAlterReassignments:
		return AlterReassignments{Changes: items(d, 18, d.reassignment)}
	case kindCompleteReassign:
		return CompleteReassignment{ID: d.uuid(), Partition: d.int32(), Replicas: d.replicaIDs()}
	case kindReplaceDirectories:
		return ReplaceDirectories{Changes: items(d, 50, d.directoryChange)}
	case kindSetFeatures:
		return SetFeatures{Expected: d.uint(), Levels: d.levels()}
	case kindSetGroupConfigs:
		return SetGroupConfigs{Group: d.str(), Expected: d.uint(), Values: d.configs()}
	case kindAlterQuotas:
		return AlterQuotas{Changes: items(d, 3, func() QuotaChange {
			return QuotaChange{Entity: d.quotaEntity(), Values: d.quotas()}
		})}
	case kindAddACLs:
		return AddACLs{ACLs: d.acls()}
	case kindRemoveACLs:
		return RemoveACLs{ACLs: d.acls()}
	}
	return nil
}

func (d *decoder) endpoint() Endpoint {
	return Endpoint{Listener: d.str(), Host: d.str(), Port: d.uint16()}
}

func (d *decoder) newTopic() NewTopic {
	return NewTopic{Name: d.str(), ID: d.uuid(), Assignment: d.assignment(), Configs: d.configs()}
}

func (d *decoder) newPartitions() NewPartitions {
	return NewPartitions{ID: d.uuid(), Current: d.int32(), Assignment: d.assignment()}
}

func (d *decoder) partitionChange() PartitionChange {
	return PartitionChange{ID: d.uuid(), Partition: d.int32(), Leader: d.int32(), LeaderEpoch: d.int32(), ISR: d.int32s()}
}

// registerInternal refuses an empty address, which the older kind says.
func (d *decoder) registerInternal() RegisterBroker {
	c := RegisterBroker{ID: d.int32(), Directory: d.uuid(), Rack: d.str(), Endpoints: items(d, 3, d.endpoint), Internal: d.str()}
	if c.Internal == "" {
		d.fail("internal address is empty")
	}
	return c
}

func (d *decoder) brokerEpoch() BrokerEpoch { return BrokerEpoch{ID: d.int32(), Epoch: d.uint()} }

// reassignment reads a target that may be empty, which is not a cancellation.
func (d *decoder) reassignment() Reassignment {
	r := Reassignment{ID: d.uuid(), Partition: d.int32()}
	if d.bool() {
		if r.Target = d.int32s(); r.Target == nil {
			r.Target = []int32{}
		}
	}
	return r
}

func (d *decoder) directoryChange() DirectoryChange {
	return DirectoryChange{ID: d.uuid(), Partition: d.int32(), Node: d.int32(), Old: d.uuid(), New: d.uuid()}
}

func (d *decoder) replicaIDs() []ReplicaID {
	return items(d, 17, func() ReplicaID { return ReplicaID{Node: d.int32(), Directory: d.uuid()} })
}

func (e *encoder) replicaIDs(ids []ReplicaID) {
	list(e, ids, func(r ReplicaID) { e.int(int64(r.Node)); e.uuid(r.Directory) })
}

func (e *encoder) endpoint(p Endpoint) { e.str(p.Listener); e.str(p.Host); e.uint(uint64(p.Port)) }

func (SetClusterID) kind() byte        { return kindSetClusterID }
func (UnregisterBroker) kind() byte    { return kindUnregisterBroker }
func (CreateTopics) kind() byte        { return kindCreateTopics }
func (DeleteTopics) kind() byte        { return kindDeleteTopics }
func (CreatePartitions) kind() byte    { return kindCreatePartitions }
func (SetTopicConfigs) kind() byte     { return kindSetTopicConfigs }
func (SetBrokerConfigs) kind() byte    { return kindSetBrokerConfigs }
func (AllocateProducerIDs) kind() byte { return kindAllocateProducerIDs }
func (AlterPartitions) kind() byte     { return kindAlterPartitions }

// kind is the older one where that can say all, so that each command has one encoding.
func (c RegisterBroker) kind() byte {
	if c.Internal == "" {
		return kindRegisterBroker
	}
	return kindRegisterInternal
}

func (FenceBrokers) kind() byte         { return kindFenceBrokers }
func (UnfenceBroker) kind() byte        { return kindUnfenceBroker }
func (DrainBroker) kind() byte          { return kindDrainBroker }
func (AlterReassignments) kind() byte   { return kindAlterReassignments }
func (CompleteReassignment) kind() byte { return kindCompleteReassign }
func (ReplaceDirectories) kind() byte   { return kindReplaceDirectories }

func (SetFeatures) kind() byte     { return kindSetFeatures }
func (SetGroupConfigs) kind() byte { return kindSetGroupConfigs }
func (AlterQuotas) kind() byte     { return kindAlterQuotas }

func (c SetClusterID) encode(e *encoder) { e.str(c.ID) }

func (c RegisterBroker) encode(e *encoder) {
	e.int(int64(c.ID))
	e.uuid(c.Directory)
	e.str(c.Rack)
	list(e, c.Endpoints, e.endpoint)
	if c.Internal != "" {
		e.str(c.Internal)
	}
}

func (c UnregisterBroker) encode(e *encoder) { e.int(int64(c.ID)) }

func (c CreateTopics) encode(e *encoder) {
	list(e, c.Topics, func(t NewTopic) {
		e.str(t.Name)
		e.uuid(t.ID)
		e.assignment(t.Assignment)
		e.configs(t.Configs)
	})
	e.int(c.NowMillis)
	e.int(int64(c.MaxPartitions))
}

func (c DeleteTopics) encode(e *encoder) { list(e, c.IDs, e.uuid) }

func (c CreatePartitions) encode(e *encoder) {
	list(e, c.Topics, func(t NewPartitions) {
		e.uuid(t.ID)
		e.int(int64(t.Current))
		e.assignment(t.Assignment)
	})
	e.int(int64(c.MaxPartitions))
}

func (c SetTopicConfigs) encode(e *encoder) {
	list(e, c.Changes, func(t TopicConfigs) {
		e.uuid(t.ID)
		e.uint(t.Expected)
		e.configs(t.Values)
	})
}

func (c SetBrokerConfigs) encode(e *encoder) {
	e.int(int64(c.Broker))
	e.uint(c.Expected)
	e.configs(c.Values)
}

func (c AllocateProducerIDs) encode(e *encoder) { e.int(int64(c.Broker)); e.int(int64(c.Count)) }

func (c AlterPartitions) encode(e *encoder) {
	list(e, c.Changes, func(p PartitionChange) {
		e.uuid(p.ID)
		e.int(int64(p.Partition))
		e.int(int64(p.Leader))
		e.int(int64(p.LeaderEpoch))
		e.int32s(p.ISR)
	})
}

func (e *encoder) brokerEpoch(b BrokerEpoch) { e.int(int64(b.ID)); e.uint(b.Epoch) }

func (c FenceBrokers) encode(e *encoder)  { list(e, c.Brokers, e.brokerEpoch) }
func (c UnfenceBroker) encode(e *encoder) { e.brokerEpoch(BrokerEpoch(c)) }
func (c DrainBroker) encode(e *encoder)   { e.int(int64(c.ID)); e.bool(c.Drain) }

func (c AlterReassignments) encode(e *encoder) {
	list(e, c.Changes, func(r Reassignment) {
		e.uuid(r.ID)
		e.int(int64(r.Partition))
		e.bool(r.Target != nil)
		if r.Target != nil {
			e.int32s(r.Target)
		}
	})
}

func (c CompleteReassignment) encode(e *encoder) {
	e.uuid(c.ID)
	e.int(int64(c.Partition))
	e.replicaIDs(c.Replicas)
}

func (c ReplaceDirectories) encode(e *encoder) {
	list(e, c.Changes, func(r DirectoryChange) {
		e.uuid(r.ID)
		e.int(int64(r.Partition))
		e.int(int64(r.Node))
		e.uuid(r.Old)
		e.uuid(r.New)
	})
}

func (c SetFeatures) encode(e *encoder)     { e.uint(c.Expected); e.levels(c.Levels) }
func (c SetGroupConfigs) encode(e *encoder) { e.str(c.Group); e.uint(c.Expected); e.configs(c.Values) }

func (c AlterQuotas) encode(e *encoder) {
	list(e, c.Changes, func(q QuotaChange) { e.quotaEntity(q.Entity); e.quotas(q.Values) })
}

func (e *encoder) quotaEntity(q QuotaEntity) { e.quotaName(q.User); e.quotaName(q.ClientID) }

// quotaName writes a name only where there is one.
func (e *encoder) quotaName(n QuotaName) {
	e.byte(byte(n.Kind))
	if n.Kind == QuotaNamed {
		e.str(n.Name)
	}
}

func (d *decoder) quotaEntity() QuotaEntity {
	return QuotaEntity{User: d.quotaName(), ClientID: d.quotaName()}
}

func (d *decoder) quotaName() QuotaName {
	n := QuotaName{Kind: QuotaNameKind(d.byte())}
	if n.Kind == QuotaNamed {
		n.Name = d.str()
	}
	return n
}
