package mqtt_test

import (
	"fmt"
	"log"

	mqtt "github.com/mosquitto-go/mosquitto/paho"
)

// The code of a program for paho.mqtt.golang. Only the import path differs.
func Example() {
	options := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:1883").SetClientID("example")
	options.SetOnConnectHandler(func(c mqtt.Client) {
		c.Subscribe("sensors/+/temperature", 1, func(_ mqtt.Client, m mqtt.Message) {
			fmt.Println(m.Topic(), string(m.Payload()))
		})
	})
	client := mqtt.NewClient(options)
	if token := client.Connect(); token.Wait() && token.Error() != nil {
		log.Fatal(token.Error())
	}
	defer client.Disconnect(250)
	token := client.Publish("sensors/1/temperature", 1, false, "20.5")
	if token.Wait(); token.Error() != nil {
		log.Print(token.Error())
	}
}
