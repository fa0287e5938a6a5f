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
		return nil, &VersionError{What: "command kind", Got: int(kind), Want: kindAlterPartitions}
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

func (e *encoder) endpoint(p Endpoint) { e.str(p.Listener); e.str(p.Host); e.uint(uint64(p.Port)) }

func (SetClusterID) kind() byte        { return kindSetClusterID }
func (RegisterBroker) kind() byte      { return kindRegisterBroker }
func (UnregisterBroker) kind() byte    { return kindUnregisterBroker }
func (CreateTopics) kind() byte        { return kindCreateTopics }
func (DeleteTopics) kind() byte        { return kindDeleteTopics }
func (CreatePartitions) kind() byte    { return kindCreatePartitions }
func (SetTopicConfigs) kind() byte     { return kindSetTopicConfigs }
func (SetBrokerConfigs) kind() byte    { return kindSetBrokerConfigs }
func (AllocateProducerIDs) kind() byte { return kindAllocateProducerIDs }
func (AlterPartitions) kind() byte     { return kindAlterPartitions }

func (c SetClusterID) encode(e *encoder) { e.str(c.ID) }

func (c RegisterBroker) encode(e *encoder) {
	e.int(int64(c.ID))
	e.uuid(c.Directory)
	e.str(c.Rack)
	list(e, c.Endpoints, e.endpoint)
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
