module example.com/kafkatest/integration/clients/cells

go 1.26.0
