// The workbook in which runs are watched; its content is infra/workbook.json, which scripts/workbook.py makes.

@description('What the portal calls it.')
param displayName string

@description('Region.')
param location string

@description('Tags of the resource.')
param tags object

@description('The Application Insights component among whose workbooks it is listed.')
param insightsId string

@description('The workspace that its queries read.')
param workspaceId string

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(insightsId, 'assay-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: displayName
    category: 'workbook'
    sourceId: insightsId
    serializedData: replace(loadTextContent('../workbook.json'), '__WORKSPACE_ID__', workspaceId)
  }
}

@description('Resource id, by which the portal opens it.')
output id string = workbook.id
