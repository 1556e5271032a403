// Private endpoints of the services that this template created, with their names in DNS.

@description('Region of the subnet.')
param location string

@description('Tags of the resources.')
param tags object

@description('Subnet of the endpoints.')
param subnetId string

@description('Resource group of the private DNS zones, as its resource id.')
param zonesGroupId string

@description('One for each service: resource, the part of it that is reached, and the DNS zone of that part.')
param endpoints { name: string, resourceId: string, groupId: string, zone: string }[]

resource links 'Microsoft.Network/privateEndpoints@2024-05-01' = [for one in endpoints: {
  name: one.name
  location: location
  tags: tags
  properties: {
    subnet: {
      id: subnetId
    }
    privateLinkServiceConnections: [
      {
        name: one.name
        properties: {
          privateLinkServiceId: one.resourceId
          groupIds: [one.groupId]
        }
      }
    ]
  }
}]

resource names 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [for (one, index) in endpoints: {
  parent: links[index]
  name: 'default'
  properties: {
    privateDnsZoneConfigs: [
      {
        name: one.groupId
        properties: {
          privateDnsZoneId: '${zonesGroupId}/providers/Microsoft.Network/privateDnsZones/${one.zone}'
        }
      }
    ]
  }
}]
