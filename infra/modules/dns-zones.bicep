// Private DNS zones, by which names of services lead to their private endpoints inside the network.

@description('Names of the zones.')
param zoneNames string[]

@description('Tags of the resources.')
param tags object

@description('The network in which they count.')
param networkId string

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [for zone in zoneNames: {
  name: zone
  location: 'global'
  tags: tags
}]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [for (zone, index) in zoneNames: {
  parent: zones[index]
  name: 'assay'
  location: 'global'
  tags: tags
  properties: {
    registrationEnabled: false
    virtualNetwork: {
      id: networkId
    }
  }
}]
