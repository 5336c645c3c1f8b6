module github.com/mosquitto-go/mosquitto

go 1.24
