package metadata

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// A snapshot is: "WEIRMETA", version (1 byte), body, CRC-32C over all before it (4 bytes, big
// endian). The body holds the image's fields by encoder; brokers by id, topics by name.
const (
	snapshotMagic   = "WEIRMETA"
	snapshotVersion = 5 // 1 knew no internal addresses, fences, directories and reassignments; 2 no features and groups; 3 no quotas; 4 no ACLs
	snapshotFrame   = len(snapshotMagic) + 1 + 4
)

// MaxSnapshotBytes bounds what Restore reads.
const MaxSnapshotBytes = 1 << 30

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Encode returns the image as a snapshot. Equal images give equal bytes.
func (im *Image) Encode() []byte {
	e := &encoder{b: make([]byte, 0, 256+64*len(im.byName)+16*im.partitions)}
	e.b = append(e.b, snapshotMagic...)
	e.byte(snapshotVersion)
	e.uint(im.index)
	e.str(im.clusterID)
	e.int(im.nextProducerID)
	list(e, im.brokers, func(b *Broker) {
		e.int(int64(b.ID))
		e.uuid(b.Directory)
		e.uint(b.Epoch)
		e.str(b.Rack)
		list(e, b.Endpoints, e.endpoint)
		e.str(b.Internal)
		e.bool(b.Fenced)
		e.bool(b.Draining)
	})
	e.configSet(im.clusterConfigs)
	list(e, im.brokerConfigs, func(c BrokerConfigs) {
		e.int(int64(c.Broker))
		e.configSet(c.ConfigSet)
	})
	list(e, im.byName, e.topic)
	e.uint(im.features.Index)
	e.levels(im.features.Levels)
	list(e, im.groupConfigs, func(c GroupConfigs) {
		e.str(c.Group)
		e.configSet(c.ConfigSet)
	})
	e.uint(im.quotas.Index)
	list(e, im.quotas.Clients, func(q ClientQuota) { e.quotaEntity(q.Entity); e.quotas(q.Values) })
	e.uint(im.acls.Index)
	e.acls(im.acls.ACLs)
	return binary.BigEndian.AppendUint32(e.b, crc32.Checksum(e.b, castagnoli))
}

func (e *encoder) configSet(c ConfigSet) { e.uint(c.Index); e.configs(c.Values) }

func (e *encoder) topic(t *Topic) {
	e.uuid(t.ID)
	e.str(t.Name)
	e.uint(t.CreatedIndex)
	e.int(t.CreatedMillis)
	e.configSet(t.Configs)
	list(e, t.Partitions, e.partition)
}

func (e *encoder) partition(p Partition) {
	e.count(len(p.Replicas))
	for i, id := range p.Replicas {
		e.int(int64(id))
		e.uuid(p.Directories[i])
	}
	e.replicaIDs(p.Initial)
	e.int32s(p.Target)
	e.int32s(p.Original)
	e.int32s(p.ISR)
	e.int(int64(p.Leader))
	e.int(int64(p.LeaderEpoch))
}

// DecodeImage reads what Encode wrote, and what it wrote in versions 1 to 4. In version 1 replicas were placed on the
// directories that their brokers are registered with, since those could not change then. Errors
// are VersionError and CorruptError.
func DecodeImage(b []byte) (*Image, error) {
	if len(b) < snapshotFrame || string(b[:len(snapshotMagic)]) != snapshotMagic {
		return nil, &CorruptError{What: "metadata snapshot", Reason: "it does not begin with " + snapshotMagic}
	}
	version := b[len(snapshotMagic)]
	if version < 1 || version > snapshotVersion {
		return nil, &VersionError{What: "metadata snapshot", Got: int(version), Want: snapshotVersion}
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return nil, &CorruptError{What: "metadata snapshot", Reason: fmt.Sprintf("checksum is %08x, want %08x", got, sum)}
	}
	d := &decoder{b: body[len(snapshotMagic)+1:]}
	im := d.image(version)
	if d.err == "" && len(d.b) > 0 {
		d.fail("bytes behind the end")
	}
	if d.err != "" {
		return nil, &CorruptError{What: "metadata snapshot", Reason: d.err}
	}
	return im, nil
}

func (d *decoder) image(version byte) *Image {
	im := &Image{index: d.uint(), clusterID: d.str(), nextProducerID: d.int()}
	im.brokers = items(d, 20, func() *Broker {
		b := &Broker{ID: d.int32(), Directory: d.uuid(), Epoch: d.uint(), Rack: d.str(), Endpoints: items(d, 3, d.endpoint)}
		if version > 1 {
			b.Internal, b.Fenced, b.Draining = d.str(), d.bool(), d.bool()
		}
		return b
	})
	im.clusterConfigs = d.configSet()
	im.brokerConfigs = items(d, 3, func() BrokerConfigs {
		return BrokerConfigs{Broker: d.int32(), ConfigSet: d.configSet()}
	})
	partition := d.partition
	if version == 1 {
		partition = func() Partition { return d.partition1(im) }
	}
	im.byName = items(d, 22, func() *Topic { return d.topic(partition) })
	if version > 2 {
		im.features = FeatureSet{Index: d.uint(), Levels: d.levels()}
		im.groupConfigs = items(d, 3, func() GroupConfigs { return GroupConfigs{Group: d.str(), ConfigSet: d.configSet()} })
	}
	if version > 3 {
		im.quotas.Index = d.uint()
		im.quotas.Clients = items(d, 3, func() ClientQuota { return ClientQuota{Entity: d.quotaEntity(), Values: d.quotas()} })
	}
	if version > 4 {
		im.acls.Index = d.uint()
		im.acls.ACLs = d.acls()
	}
	if d.err == "" {
		d.index(im)
	}
	return im
}

func (d *decoder) configSet() ConfigSet { return ConfigSet{Index: d.uint(), Values: d.configs()} }

func (d *decoder) topic(partition func() Partition) *Topic {
	return &Topic{ID: d.uuid(), Name: d.str(), CreatedIndex: d.uint(), CreatedMillis: d.int(), Configs: d.configSet(),
		Partitions: items(d, 4, partition)}
}

func (d *decoder) partition() Partition {
	var p Partition
	for _, r := range d.replicaIDs() {
		p.Replicas, p.Directories = append(p.Replicas, r.Node), append(p.Directories, r.Directory)
	}
	p.Initial, p.Target, p.Original = d.replicaIDs(), d.int32s(), d.int32s()
	p.ISR, p.Leader, p.LeaderEpoch = d.int32s(), d.int32(), d.int32()
	p.settle()
	return p
}

// partition1 reads a partition of version 1. The brokers of im have been read.
func (d *decoder) partition1(im *Image) Partition {
	p := Partition{Replicas: d.int32s(), ISR: d.int32s(), Leader: d.int32(), LeaderEpoch: d.int32()}
	for _, id := range p.Replicas {
		directory := im.directory(id)
		p.Directories = append(p.Directories, directory)
		p.Initial = append(p.Initial, ReplicaID{Node: id, Directory: directory})
	}
	return p
}

// index checks the orders that lookups rely on and builds the other two.
func (d *decoder) index(im *Image) {
	for i, b := range im.brokers {
		if b.ID < 0 || i > 0 && im.brokers[i-1].ID >= b.ID {
			d.fail("brokers out of order")
		}
	}
	for i, c := range im.brokerConfigs {
		if i > 0 && im.brokerConfigs[i-1].Broker >= c.Broker {
			d.fail("broker configurations out of order")
		}
	}
	for i, c := range im.groupConfigs {
		if c.Group == "" || i > 0 && im.groupConfigs[i-1].Group >= c.Group {
			d.fail("groups out of order, or without names")
		}
	}
	for i, q := range im.quotas.Clients {
		if q.Entity.fault() != "" || len(q.Values) == 0 || i > 0 && im.quotas.Clients[i-1].Entity.compare(q.Entity) >= 0 {
			d.fail("quotas out of order, or of nobody")
		}
	}
	for i, a := range im.acls.ACLs {
		if a.fault() != "" || i > 0 && im.acls.ACLs[i-1].compare(a) >= 0 {
			d.fail("ACLs out of order, or of nothing")
		}
	}
	for i, t := range im.byName {
		if CheckTopicName(t.Name) != nil || len(t.Partitions) == 0 || i > 0 && im.byName[i-1].Name >= t.Name {
			d.fail("topics out of order, or not topics")
		}
		for _, p := range t.Partitions {
			if reason := p.fault(); reason != "" {
				d.fail(reason)
			}
		}
		im.partitions += len(t.Partitions)
	}
	im.byID, im.byFolded = slices.Clone(im.byName), slices.Clone(im.byName)
	slices.SortFunc(im.byID, func(a, b *Topic) int { return compareID(a, b.ID) })
	slices.SortFunc(im.byFolded, func(a, b *Topic) int { return compareFolded(a.Name, b.Name) })
	for i := 1; i < len(im.byName); i++ {
		if im.byID[i].ID == im.byID[i-1].ID || compareFolded(im.byFolded[i].Name, im.byFolded[i-1].Name) == 0 {
			d.fail("two topics with one id or one name")
		}
	}
}

func (p *Partition) fault() string {
	switch {
	case len(p.Replicas) == 0:
		return "a partition without replicas"
	case (p.Target == nil) != (p.Original == nil):
		return "half a reassignment"
	case len(without(p.Target, p.Replicas))+len(without(p.Original, p.Replicas)) > 0:
		return "a reassignment of brokers that are not replicas"
	}
	return ""
}

// ReadImage reads one snapshot from r, to its end.
func ReadImage(r io.Reader) (*Image, error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxSnapshotBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > MaxSnapshotBytes {
		return nil, &LimitError{What: "bytes in a metadata snapshot", Got: len(b), Want: MaxSnapshotBytes}
	}
	return DecodeImage(b)
}
