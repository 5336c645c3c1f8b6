package mqtt_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mosquitto-go/mosquitto/internal/broker"
	"github.com/mosquitto-go/mosquitto/internal/fakebroker"
	"github.com/mosquitto-go/mosquitto/internal/wait"
	paho "github.com/mosquitto-go/mosquitto/paho"
	"github.com/mosquitto-go/mosquitto/paho/packets"
	"github.com/stretchr/testify/require"
)

// publication returns a PUBLISH packet of QoS 1.
func publication(topic string, id uint16) *packets.PublishPacket {
	m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
	m.Qos, m.TopicName, m.MessageID, m.Payload = 1, topic, id, []byte("payload of "+topic)
	return m
}

func stores(t *testing.T) map[string]paho.Store {
	return map[string]paho.Store{
		"memory": paho.NewMemoryStore(), "ordered": paho.NewOrderedMemoryStore(), "file": paho.NewFileStore(filepath.Join(t.TempDir(), "a", "b")),
	}
}

func TestStore_KeepsPackets(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			s.Put("o.1", publication("closed", 1))
			require.Nil(t, s.Get("o.1"))
			require.Empty(t, s.All())
			s.Open()
			require.Empty(t, s.All(), "a closed store accepts nothing")
			for _, id := range []uint16{3, 1, 20, 2} {
				s.Put(fmt.Sprint("o.", id), publication(fmt.Sprint(id), id))
			}
			s.Put("o.1", publication("replaced", 1))
			require.Equal(t, []string{"o.3", "o.20", "o.2", "o.1"}, s.All())
			require.Equal(t, "replaced", s.Get("o.1").(*packets.PublishPacket).TopicName)
			require.Nil(t, s.Get("o.4"))
			s.Del("o.20")
			s.Del("o.4")
			s.Close()
			s.Del("o.3")
			s.Open()
			require.Equal(t, []string{"o.3", "o.2", "o.1"}, s.All())
			s.Reset()
			require.Empty(t, s.All())
			s.Close()
		})
	}
}

func TestFileStore_FilesSurviveTheProcess(t *testing.T) {
	folder := t.TempDir()
	first := paho.NewFileStore(folder)
	first.Open()
	for id := range uint16(300) {
		first.Put(fmt.Sprint("o.", 300-id), publication("a", 300-id))
	}
	second := paho.NewFileStore(folder)
	second.Open()
	for i, key := range second.All() {
		require.Equal(t, fmt.Sprint("o.", 300-i), key, "the order of Put")
	}
	m := second.Get("o.7").(*packets.PublishPacket)
	require.Equal(t, "payload of a", string(m.Payload))
	require.EqualValues(t, 7, m.MessageID)
	require.EqualValues(t, 1, m.Qos)
}

func TestFileStore_RenamesAFileThatIsNotAPacket(t *testing.T) {
	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "o.1.msg"), []byte("no packet"), 0o600))
	s := paho.NewFileStore(folder)
	s.Open()
	require.Equal(t, []string{"o.1"}, s.All())
	require.Nil(t, s.Get("o.1"))
	require.Empty(t, s.All())
	require.FileExists(t, filepath.Join(folder, "o.1.CORRUPT"))
}

func TestFileStore_PublishReturnsAWriteError(t *testing.T) {
	b := start(t)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	c := connect(t, options(b.Port).SetClientID("me").SetCleanSession(false).SetStore(paho.NewFileStore(filepath.Join(file, "folder"))))
	require.Error(t, outcome(t, c.Publish("a", 1, false, "x")))
	succeed(t, c.Publish("a", 0, false, "x"))
}

// kept returns options of a session that is kept, with a store.
func kept(port int, s paho.Store) *paho.ClientOptions {
	return options(port).SetClientID("me").SetCleanSession(false).SetStore(s)
}

func TestStore_NextClientSendsTheMessages(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			first, conn := attach(t, p, kept(p.Port, s))
			for i := range 5 {
				first.Publish(fmt.Sprint("a", i), 1, i == 3, "x")
			}
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(conn.Expect(fakebroker.PUBLISH)))) // a0
			conn.Expect(fakebroker.PUBLISH)
			wait.Until(t, "the deletion", func() bool { return len(s.All()) == 4 })
			first.Disconnect(0)

			_, conn = attach(t, p, kept(p.Port, s))
			for i := 1; i < 5; i++ {
				m := conn.Expect(fakebroker.PUBLISH)
				require.Contains(t, string(m.Body), fmt.Sprint("a", i))
				require.Equal(t, i == 3, m.First&1 == 1, "retain")
				conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
			}
			wait.Until(t, "the deletions", func() bool { return len(s.All()) == 0 })
		})
	}
}

func TestStore_KeepsMessagesThatWaitForTheFirstConnection(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			p := fakebroker.Listen(t)
			first := paho.NewClient(kept(broker.FreePort(t), s).SetConnectRetry(true))
			first.Connect()
			first.Publish("a0", 1, false, "x")
			first.Publish("a1", 2, true, "x")
			first.Publish("unstored", 0, false, "x")
			require.Len(t, s.All(), 2)
			first.Disconnect(0)

			second, conn := attach(t, p, kept(p.Port, s))
			token := second.Publish("a2", 1, false, "x")
			for _, topic := range []string{"a0", "a1", "a2"} {
				m := conn.Expect(fakebroker.PUBLISH)
				require.Contains(t, string(m.Body), topic)
				if topic == "a1" {
					conn.Send(fakebroker.Ack(fakebroker.PUBREC, mid(m)))
					continue
				}
				conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
			}
			conn.Send(fakebroker.Ack(fakebroker.PUBCOMP, conn.Expect(fakebroker.PUBREL).MID()))
			succeed(t, token)
			wait.Until(t, "the deletions", func() bool { return len(s.All()) == 0 })
		})
	}
}

func TestStore_MessagesThatWaitedAreSentOnce(t *testing.T) {
	p := fakebroker.Listen(t)
	s := paho.NewMemoryStore()
	first := paho.NewClient(kept(p.Port, s).SetConnectRetry(true))
	t.Cleanup(func() { first.Disconnect(0) })
	p.Close()
	connected := first.Connect()
	token := first.Publish("a", 1, false, "x")
	l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", p.Port))
	require.NoError(t, err)
	conn := fakebroker.On(t, l).AcceptConnect()
	succeed(t, connected)
	conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(conn.Expect(fakebroker.PUBLISH))))
	succeed(t, token)
	first.Publish("b", 0, false, "x")
	require.Contains(t, string(conn.Expect(fakebroker.PUBLISH).Body), "b")
	require.Empty(t, s.All())
}

func TestStore_SameClientSendsTheMessages(t *testing.T) {
	p := fakebroker.Listen(t)
	c, conn := attach(t, p, kept(p.Port, nil))
	first := c.Publish("a", 2, false, "x")
	conn.Expect(fakebroker.PUBLISH)
	c.Disconnect(0)
	require.Error(t, outcome(t, first))
	token := c.Connect()
	conn = p.AcceptConnect()
	succeed(t, token)
	m := conn.Expect(fakebroker.PUBLISH)
	require.Contains(t, string(m.Body), "a")
}

func TestStore_CleanSessionResetsIt(t *testing.T) {
	p := fakebroker.Listen(t)
	s := paho.NewMemoryStore()
	s.Open()
	s.Put("o.1", publication("old", 1))
	c, conn := attach(t, p, options(p.Port).SetStore(s))
	require.Empty(t, s.All())
	c.Publish("new", 1, false, "x")
	require.Contains(t, string(conn.Expect(fakebroker.PUBLISH).Body), "new")
}

func TestStore_MessagesOfPahoAreSent(t *testing.T) {
	p := fakebroker.Listen(t)
	s := paho.NewFileStore(t.TempDir())
	s.Open()
	for _, id := range []uint16{2, 1, 3} {
		s.Put(fmt.Sprint("o.", id), publication(fmt.Sprint("topic", id), id))
	}
	s.Put("unknown", publication("ignored", 1))
	c, conn := attach(t, p, kept(p.Port, s))
	token := c.Publish("later", 1, false, "x")
	require.Len(t, s.All(), 5, "the new message replaces no other")
	for _, topic := range []string{"topic2", "topic1", "topic3", "later"} {
		m := conn.Expect(fakebroker.PUBLISH)
		require.Contains(t, string(m.Body), topic)
		conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(m)))
	}
	succeed(t, token)
}

func TestStore_PendingSubscriptionsOfPaho(t *testing.T) {
	for _, resume := range []bool{true, false} {
		t.Run(fmt.Sprint("ResumeSubs ", resume), func(t *testing.T) {
			p := fakebroker.Listen(t)
			s := paho.NewMemoryStore()
			s.Open()
			m := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
			m.MessageID, m.Topics, m.Qoss = 1, []string{"a"}, []byte{1}
			s.Put("o.1", m)
			c, conn := attach(t, p, kept(p.Port, s).SetResumeSubs(resume))
			require.Empty(t, s.All())
			if resume {
				m := conn.Expect(fakebroker.SUBSCRIBE)
				require.Contains(t, string(m.Body), "a")
				conn.Send(fakebroker.V311.Suback(m.MID(), []byte{1}))
			}
			token := c.Publish("b", 1, false, "x")
			conn.Send(fakebroker.Ack(fakebroker.PUBACK, mid(conn.Expect(fakebroker.PUBLISH))))
			succeed(t, token)
		})
	}
}

func TestStore_PubrelIsRefused(t *testing.T) {
	s := paho.NewMemoryStore()
	s.Open()
	s.Put("o.1", packets.NewControlPacket(packets.Pubrel))
	require.ErrorContains(t, outcome(t, paho.NewClient(kept(1, s)).Connect()), "SetStore")
}

// counted is a store of a program.
type counted struct {
	*paho.MemoryStore
	mu    sync.Mutex
	calls map[string]int
}

func (c *counted) count(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[name]++
}

func (c *counted) Open()          { c.count("Open"); c.MemoryStore.Open() }
func (c *counted) Close()         { c.count("Close"); c.MemoryStore.Close() }
func (c *counted) Del(key string) { c.count("Del"); c.MemoryStore.Del(key) }
func (c *counted) Put(key string, m packets.ControlPacket) {
	c.count("Put")
	c.MemoryStore.Put(key, m)
}

func TestStore_OfAProgram(t *testing.T) {
	b := start(t)
	s := &counted{MemoryStore: paho.NewMemoryStore(), calls: map[string]int{}}
	c := connect(t, kept(b.Port, s))
	for qos := range byte(3) {
		succeed(t, c.Publish("a", qos, false, "x"))
	}
	c.Disconnect(100)
	require.Equal(t, map[string]int{"Open": 1, "Put": 2, "Del": 2, "Close": 1}, s.calls)
}
