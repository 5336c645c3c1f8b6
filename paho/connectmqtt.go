package mqtt

import (
	"net"

	"github.com/mosquitto-go/mosquitto/paho/packets"
)

// ConnectMQTT sends cm on conn and reads the CONNACK packet. It sets the protocol name
// and the version of cm: 3 for MQTT 3.1, 4 for MQTT 3.1.1. It returns the return code and
// whether the broker has kept the session. Without a CONNACK the code is
// [packets.ErrNetworkError]. The client does not use this function.
func ConnectMQTT(conn net.Conn, cm *packets.ConnectPacket, protocolVersion uint) (byte, bool) {
	cm.ProtocolName, cm.ProtocolVersion = "MQTT", byte(protocolVersion)
	if protocolVersion&^0x80 == 3 {
		cm.ProtocolName = "MQIsdp"
	}
	if err := cm.Write(conn); err != nil {
		ERROR.Println(CLI, "ConnectMQTT:", err)
		return packets.ErrNetworkError, false
	}
	answer, err := packets.ReadPacket(conn)
	if err != nil {
		ERROR.Println(CLI, "ConnectMQTT:", err)
		return packets.ErrNetworkError, false
	}
	connack, ok := answer.(*packets.ConnackPacket)
	if !ok {
		ERROR.Println(CLI, "ConnectMQTT: the broker sent", answer, "instead of CONNACK")
		return packets.ErrNetworkError, false
	}
	return connack.ReturnCode, connack.SessionPresent
}
