module github.com/mosquitto-go/mosquitto/test/bench

go 1.24.0

require (
	github.com/at-wat/mqtt-go v0.19.4
	github.com/eclipse/paho.golang v0.23.0
	github.com/eclipse/paho.mqtt.golang v1.5.1
	github.com/mosquitto-go/mosquitto v0.1.0
	github.com/mosquitto-go/mosquitto/paho v0.1.0
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	github.com/gorilla/websocket v1.5.3 // indirect
	github.com/mosquitto-go/mosquitto/mqtt/websocket v0.1.0 // indirect
	golang.org/x/net v0.44.0 // indirect
	golang.org/x/sync v0.17.0 // indirect
	golang.org/x/sys v0.36.0 // indirect
)

replace (
	github.com/mosquitto-go/mosquitto => ../..
	github.com/mosquitto-go/mosquitto/mqtt/websocket => ../../mqtt/websocket
	github.com/mosquitto-go/mosquitto/paho => ../../paho
)
